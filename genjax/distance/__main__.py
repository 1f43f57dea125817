"""python -m genjax.distance"""

import sys

from genjax.distance import main

sys.exit(main())
