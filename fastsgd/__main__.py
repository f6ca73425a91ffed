"""`python -m fastsgd`"""

from fastsgd.cli import main

main()
