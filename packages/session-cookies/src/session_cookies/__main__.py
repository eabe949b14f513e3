"""Make a secret key: ``python -m session_cookies secret``."""

import secrets
import sys


def main(arguments: list[str]) -> int:
    """Print 32 random bytes as URL-safe base64, or how to call this."""
    if arguments != ["secret"]:
        print("usage: python -m session_cookies secret", file=sys.stderr)
        return 2
    print(secrets.token_urlsafe(32))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
