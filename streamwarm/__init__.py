"""Warms media for Telegram bots: streams objects from Cloudflare R2 to where they are needed, ahead of time."""

from importlib.metadata import version

__version__ = version("streamwarm")
