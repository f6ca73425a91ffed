"""`python -m fastsgd`"""

from fastsgd.cli import main

if __name__ == "__main__":
    main()
