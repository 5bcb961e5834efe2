"""`python -m rotatorctl` in a checkout."""

from rotatorctl.cli import main

main()
