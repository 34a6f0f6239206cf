"""storehop as a script of a stock mitmproxy: `mitmdump -s addon/entry.py --mode reverse:http://legacy:8000`.

mitmproxy takes every name in here that is called like one of its hooks for a hook, and leaves this folder at
the front of sys.path: so one import, one list, and no module beside this file but the package.
"""

from storehop.host.addon import Storehop

addons = [Storehop()]
