"""The parameters of a simulated shop; ``docs/reference/simulator.md`` explains them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MAX_DAYS = 3650

Share = Annotated[float, Field(ge=0, le=1)]
Inner = Annotated[float, Field(gt=0, lt=1)]
Power = Annotated[float, Field(gt=0, le=1)]
Tail = Annotated[float, Field(ge=0, lt=1)]
Spread = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Week = tuple[Positive, Positive, Positive, Positive, Positive, Positive, Positive]


class Shop(BaseModel):
    """Parameters of a simulated shop.

    Parameters
    ----------
    products_scale, products_power : float
        There are ``scale * clients ** power`` products, at least three per category.
    categories_scale, categories_power : float
        The same for categories, at least eight; the number of departments is its square root.
    launched : float
        Share of the products that are launched during the log.
    product_tail, category_tail, department_tail, page_tail : float
        Zipf exponents of the products in a category, the categories in a department, the
        departments, and the pages and query phrases of a category.
    category_pages, category_phrases, other_pages : int
        Listing pages and query phrases per category; pages without a category.
    filtered, filtered_pages, filtered_tail : float
        Share of the visits to listings that go to one with filters, a sort order or a page number;
        number of such pages per client; their Zipf exponent within a category.
    noise : (float, float)
        Share of arbitrary codes, at the first and at the last position.
    sessions_a_day, sessions_spread : float
        Mean of a client's rate of sessions and standard deviation of its logarithm (log-normal).
    newcomers : float
        Share of the clients that arrive during the log; the others exist when it begins.
    dropout_a_day, dropout_shape : float
        Mean and shape of a client's rate of leaving for good (gamma), as in Pareto/NBD
        (Schmittlein, Morrison, Colombo 1987).
    discontent : float
        How much more discontent clients remove from the cart, and how much sooner they leave.
    interests : int
        Number of categories that a client is interested in at a time.
    interest_days : float
        How long an interest lasts before it may change.
    drift : float
        Share of the interests that change then.
    loyalty : float
        Share of the changed interests that stay in their department.
    affinity : float
        How much clients differ in the departments that they like.
    exploring : float
        Share of the sessions whose intent does not depend on the client's taste.
    focus : float
        Share of a session's products that are of its intended category, not just its department.
    favourites : int
        Number of products per interest that a client returns to.
    returning : float
        Share of the views of an intended category's products that go to these.
    price_width : float
        How near to a client's price level products are chosen, in standard deviations of prices.
    weekdays : tuple of float, length 7
        Relative weights of Monday to Sunday.
    rhythm : float
        How much a client's own weekdays differ from these.
    evening : float
        Share of the clients that come in the evening; the others come around noon.
    views : float
        Mean number of products viewed in a session (geometric).
    searchers : float
        Share of the clients that search.
    regulars : float
        The share of searchers grows with this power of the clients' rate of sessions.
    searching : (float, float)
        Share of the products that searchers, and other clients, reach by a query.
    naming : float
        Share of the queries for a product's name; the others are for its category.
    browsing : float
        Share of the other products that a client reaches by a listing page of the category.
    entrances : (float, float)
        Share of the sessions that begin at the home page, and at another page without category.
    adding, adding_shape : float
        Mean share of the viewed products that are added to the cart, and its shape over the
        clients (gamma).
    buying, removing : float
        Share of the additions that are bought; median share of the rest that is removed.
    direct : float
        Number of purchases without an addition, per addition.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    products_scale: Positive = 20
    products_power: Power = 0.65
    categories_scale: Positive = 2
    categories_power: Power = 0.5
    launched: Share = 0.25
    product_tail: Spread = 1.0
    category_tail: Spread = 0.8
    department_tail: Spread = 0.6
    page_tail: Spread = 1.2
    category_pages: Count = 20
    category_phrases: Count = 12
    other_pages: Count = 200
    filtered: Share = 0
    filtered_pages: Spread = 0
    filtered_tail: Tail = 0.5
    noise: tuple[Share, Share] = (0.02, 0.4)
    sessions_a_day: Positive = 0.18
    sessions_spread: Spread = 0.9
    newcomers: Share = 0.4
    dropout_a_day: Positive = 1 / 150
    dropout_shape: Positive = 1.5
    discontent: Spread = 0.7
    interests: Count = 4
    interest_days: Positive = 75
    drift: Share = 0.5
    loyalty: Share = 0.6
    affinity: Spread = 2.0
    exploring: Share = 0.15
    focus: Share = 0.85
    favourites: Count = 3
    returning: Share = 0.3
    price_width: Positive = 0.5
    weekdays: Week = (1.0, 0.95, 0.95, 1.0, 1.1, 1.35, 1.5)
    rhythm: Spread = 0.7
    evening: Share = 0.6
    views: Annotated[float, Field(ge=1)] = 4
    searchers: Share = 0.35
    regulars: Spread = 0
    searching: tuple[Share, Share] = (0.2, 0.004)
    naming: Share = 0.25
    browsing: Share = 0.4
    entrances: tuple[Share, Share] = (0.4, 0.15)
    adding: Share = 0.06
    adding_shape: Positive = 1.5
    buying: Inner = 0.45
    removing: Inner = 0.55
    direct: Share = 0.04

    def categories(self, clients: int) -> int:
        """Return the number of categories for a number of clients.

        Examples
        --------
        >>> Shop().categories(10_000)
        200
        """
        return max(8, round(self.categories_scale * clients**self.categories_power))

    def products(self, clients: int) -> int:
        """Return the number of products for a number of clients.

        Examples
        --------
        >>> Shop().products(10_000)
        7962
        """
        size = round(self.products_scale * clients**self.products_power)
        return max(3 * self.categories(clients), size)
