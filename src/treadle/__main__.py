"""`python -m treadle` and the command `treadle`."""

from .gateways.cli.main import app


def main() -> None:
    """Run the command line; see docs/cli.md."""
    app(prog_name="treadle")


if __name__ == "__main__":
    main()
