"""Binance on loopback: a capture served on the venue's own paths, WebSocket and REST, with faults on request.

The protocol is pure (requests, sessions, paths, answers, faults, each given its time); `server` alone has sockets.
"""
