"""python -m genjax.report"""

import sys

from genjax.report import main

sys.exit(main())
