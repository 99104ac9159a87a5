"""``python -m recpoison``: the command."""

import sys

from recpoison.train_attack_eval import main

if __name__ == "__main__":
    sys.exit(main())
