"""storehop: ad clicks straight to the app store, reported to AppsFlyer from server to server."""
