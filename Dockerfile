# `ubp serve`, and all else that reads a home: no torch, no fitting. See docs/how-to/deploy.md.
FROM python:3.12-slim AS build
WORKDIR /build
COPY pyproject.toml README.md requirements.lock ./
COPY ubp_platform ubp_platform
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir -c requirements.lock '.[serve]'

FROM python:3.12-slim
COPY --from=build /venv /venv
WORKDIR /app
COPY cli.py ./
COPY pipelines pipelines
ENV PATH=/venv/bin:$PATH UBP_HOME=/data
USER 1000:1000
VOLUME /data
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=3)"]
ENTRYPOINT ["python", "cli.py"]
CMD ["serve", "--host", "0.0.0.0"]
