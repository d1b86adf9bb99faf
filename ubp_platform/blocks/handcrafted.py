"""Handcrafted features (paper, section 3.2.5), computed in SQL."""

from ubp_platform.blocks.features import FeatureBlock


class Handcrafted(FeatureBlock):
    """Counts, changes, rhythms, variety, prices and abandoned carts of a client.

    ``warehouse/sql/handcrafted.sql`` computes them; ``docs/reference/features.md`` defines each
    feature, and its value where it is undefined.
    """

    name = "handcrafted"
    section = "3.2.5"
    needs = ("product_buy", "add_to_cart", "remove_from_cart", "page_visit")
    first_definition = "ab50fa2394b61b56b6bb8068de1bb40407e39875ce871a7ca7298d172d814dab"
    counted = ("sku_popularity", "url_popularity")
