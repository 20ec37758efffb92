"""What the bakery sells."""

from decimal import Decimal

MENU = {
    "Sourdough loaf": Decimal("6.40"),
    "Butter croissant": Decimal("2.60"),
    "Cinnamon knot": Decimal("3.20"),
    "Rye with walnuts": Decimal("5.80"),
    "Lemon tart": Decimal("4.90"),
    "Cardamom bun": Decimal("3.10"),
}
