"""What only ``ubp demo`` computes and draws: a churn model and pictures as PNG files."""
