"""What a person can do about a refusal of the Bot API: the second half of its message. Pure."""

PHOTO_REMEDY = 'send it as kind document, set options.fallback to "document", or resize it'
SET_TOKEN = (
    "the bot's token is not valid: set a new one from @BotFather "  # noqa: S105
    "and restart the service, or correct base_url if it names no Bot API server"
)
SET_API_ID = (
    "the Bot API server was started with a wrong --api-id or --api-hash: take them from https://my.telegram.org, "
    "restart that server, and `streamwarm resume` the bot"
)
LOGGED_OUT = (
    "the bot was logged out of this Bot API server (logOut): set base_url to the server that it moved to and restart "
    "the service, or wait ten minutes and `streamwarm resume` the bot"
)
BODY_LIMIT = (
    "raise the limit for a request's body of the Bot API server or the proxy before it (nginx: client_max_body_size); "
    "a server in local mode takes 2000 MB, any other 50 MB"
)
START_BOT = (
    "that person has to open the bot and press Start (or unblock it), then `streamwarm resume` the bot; "
    "or name another chat in `chats`"
)
CHAT_GONE = "that chat or person can take no message any more: name another in `chats`"
CHAT_CHARGES = (
    "that chat charges for messages or takes them from Premium accounts only: exempt the bot there and `streamwarm "
    "resume` it, or name another chat in `chats`"
)
OPEN_TOPIC = (
    "open that topic again, or let the bot manage topics, and `streamwarm resume` it; or name another topic in `chats`"
)
NAME_TOPIC = (
    "name a topic that the chat has in `chats`, as chat/topic, and restart; "
    "or restore it and `streamwarm resume` the bot"
)
NAME_NEW_ID = "name the supergroup's id in `chats` and restart"
OTHER_CHAT = "add the bot to the warm-up chat and `streamwarm resume` it, or name another in `chats`"
GIVE_RIGHT = "give the bot the right to send there and `streamwarm resume` it, or name another chat in `chats`"
GIVE_KIND = "allow that kind in the chat and `streamwarm resume` the bot, or add a chat to `chats` that takes it"
STOP_DELETING = (
    "something there deletes the bot's messages: stop it and `streamwarm resume` the bot, or name another chat"
)
SMALLER_FILE = "compress or split it, or use a local Bot API server (base_url, with local_server = true)"
APPEAL = "Telegram has frozen the bot's account: its owner can appeal; once it is free, `streamwarm resume` the bot"
OTHER_SERVER = (
    "this Bot API server does not serve the bot: change its --filter option, restart that server, and `streamwarm "
    "resume` the bot"
)
OLD_SERVER = "the Bot API server is too old for this kind: update it and `streamwarm resume` the bot"
