"""Write a layout for an unusual CSV file, ingest it, and query the warehouse.

The cash desk of a shop in Germany writes semicolons, decimal commas, German dates, and one line per
receipt item. `ubp init` would draft a layout for it; here we write one by hand.
"""

from pathlib import Path

import duckdb

from cli import app

Path("receipts").mkdir()
Path("receipts/march.csv").write_text(
    "Kunde;Datum;Artikel;Preis;Art\n"
    "K-001;01.03.2026 09:15;Brot;3,20;Verkauf\n"
    "K-001;01.03.2026 09:15;Butter;2,49;Verkauf\n"
    "K-002;02.03.2026 17:40;Brot;3,20;Verkauf\n"
    "K-002;02.03.2026 17:45;Brot;3,20;Storno\n"
    "K-003;31.02.2026 10:00;Milch;1,19;Verkauf\n"
)

# The layout: which files make up the relation `receipts`, and how they are read.
Path("cash_desk").mkdir()
Path("cash_desk/layout.toml").write_text(
    """
about = "Receipts of the cash desk"
time_zone = "Europe/Berlin"

[relation.receipts]
files = ["*.csv"]
delimiter = ";"
columns = ["Kunde", "Datum", "Artikel", "Preis", "Art"]
"""
)
# One SELECT per table. TRY_ functions return NULL for what they cannot read, and the row goes to
# the quarantine: the 31st of February does not exist.
Path("cash_desk/product_buy.sql").write_text(
    """
SELECT Kunde AS client_id, try_strptime(Datum, '%d.%m.%Y %H:%M') AS timestamp, Artikel AS sku,
       replace(Preis, ',', '.') AS price, _file, _row
FROM receipts WHERE Art = 'Verkauf'
"""
)
# What becomes no row of any table is counted by its reason.
Path("cash_desk/dropped.sql").write_text("SELECT Art FROM receipts WHERE Art != 'Verkauf'")

# On a shell: ubp ingest receipts --layout cash_desk --max-quarantine 0.5
options = ["--layout", "cash_desk", "--max-quarantine", "0.5", "--home", "cash_desk_home"]
app(["ingest", "receipts", *options], standalone_mode=False)
app(["quarantine", "--home", "cash_desk_home"], standalone_mode=False)

# The warehouse is an ordinary DuckDB file. Text ids are integer keys there, with a dictionary.
with duckdb.connect("cash_desk_home/warehouse.duckdb", read_only=True) as warehouse:
    sales = warehouse.sql(
        "SELECT id, count(*) AS items FROM product_buy JOIN client_id_key ON client_id = key "
        "GROUP BY id ORDER BY id"
    ).df()
print(sales)
