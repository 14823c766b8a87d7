"""gmqtt talks through a broker: `gmqtt_suite.py HOST PORT`. Prints a line for each check; exit code 0 if all hold."""

import asyncio
import sys

import gmqtt
from gmqtt.mqtt.constants import MQTTv50, MQTTv311

HOST, PORT = sys.argv[1], int(sys.argv[2])
NAMES = {MQTTv311: "311", MQTTv50: "5"}
PATIENCE = 10


class Peer:
    """A connected client whose messages are in `inbox`."""

    def __init__(self, version, name, clean=True, will=None, **properties):
        self.version = version
        self.inbox = asyncio.Queue()
        self.subscribed = asyncio.Queue()
        self.client = gmqtt.Client(f"gmqtt{NAMES[version]}-{name}", clean_session=clean, will_message=will, **properties)
        self.client.set_config({"reconnect_retries": 0})
        self.client.on_message = self.on_message
        self.client.on_subscribe = lambda client, mid, codes, properties: self.subscribed.put_nowait(codes)

    def on_message(self, client, topic, payload, qos, properties):
        self.inbox.put_nowait((topic, payload.decode(), qos, properties))
        return 0

    async def connect(self):
        await asyncio.wait_for(self.client.connect(HOST, PORT, version=self.version, keepalive=30), PATIENCE)
        return self

    async def subscribe(self, topic, qos=0, **options):
        self.client.subscribe(gmqtt.Subscription(topic, qos=qos, **options))
        return (await asyncio.wait_for(self.subscribed.get(), PATIENCE))[0]

    async def get(self, payload=None):
        message = await asyncio.wait_for(self.inbox.get(), PATIENCE)
        assert payload is None or message[1] == payload, (message, payload)
        return message

    async def silent(self, seconds=0.3):
        try:
            message = await asyncio.wait_for(self.inbox.get(), seconds)
        except asyncio.TimeoutError:
            return
        raise AssertionError(f"unexpected {message}")

    async def leave(self):
        await self.client.disconnect()


async def delivery(version):
    root = f"gmqtt/{NAMES[version]}/delivery"
    subscriber, publisher = await Peer(version, "sub").connect(), await Peer(version, "pub").connect()
    for granted in range(3):
        assert await subscriber.subscribe(f"{root}/{granted}", granted) == granted
        for qos in range(3):
            publisher.client.publish(f"{root}/{granted}", f"{qos}", qos=qos)
            message = await subscriber.get(f"{qos}")
            assert message[2] == min(qos, granted), message
    for number in range(150):
        publisher.client.publish(f"{root}/1", f"{number}", qos=1)
    assert [int((await subscriber.get())[1]) for _ in range(150)] == list(range(150))
    await subscriber.leave()
    await publisher.leave()


async def retained(version):
    topic = f"gmqtt/{NAMES[version]}/retained"
    publisher = await Peer(version, "ret-pub").connect()
    publisher.client.publish(topic, "kept", qos=1, retain=True)
    await asyncio.sleep(0.2)
    subscriber = await Peer(version, "ret-sub").connect()
    await subscriber.subscribe(topic, 1)
    assert (await subscriber.get("kept"))[3]["retain"]
    publisher.client.publish(topic, "", qos=1, retain=True)
    await subscriber.get("")
    await publisher.leave()
    await subscriber.leave()


async def will(version):
    topic = f"gmqtt/{NAMES[version]}/will"
    watcher = await Peer(version, "will-watch").connect()
    await watcher.subscribe(topic, 1)
    client = await Peer(version, "will", will=gmqtt.Message(topic, "gone", qos=1)).connect()
    client.client._connection._transport.abort()
    await watcher.get("gone")
    await watcher.leave()


async def session(version):
    topic = f"gmqtt/{NAMES[version]}/session"
    keep = {"session_expiry_interval": 100} if version == MQTTv50 else {}
    client = await Peer(version, "session", clean=False, **keep).connect()
    await client.subscribe(topic, 2)
    await client.leave()
    publisher = await Peer(version, "session-pub").connect()
    for number in range(6):
        publisher.client.publish(topic, f"{number}", qos=1 + number % 2)
    await asyncio.sleep(0.3)
    client = await Peer(version, "session", clean=False, **keep).connect()
    got = sorted([(await client.get())[1] for _ in range(6)])
    assert got == ["0", "1", "2", "3", "4", "5"], got
    await client.silent()
    await client.leave()
    await (await Peer(version, "session", clean=True).connect()).leave()
    await publisher.leave()


async def shared(version):
    topic = f"gmqtt/{NAMES[version]}/shared"
    members = [await Peer(version, f"share{number}").connect() for number in range(2)]
    for member in members:
        await member.subscribe(f"$share/gmqtt{NAMES[version]}/{topic}", 1)
    publisher = await Peer(version, "share-pub").connect()
    for number in range(20):
        publisher.client.publish(topic, f"{number}", qos=1)
    await asyncio.sleep(0.5)
    got = []
    for member in members:
        assert not member.inbox.empty(), "a member got nothing"
        while not member.inbox.empty():
            got.append(int(member.inbox.get_nowait()[1]))
    assert sorted(got) == list(range(20)), got
    for peer in [*members, publisher]:
        await peer.leave()


async def properties(version):
    topic = "gmqtt/5/properties"
    subscriber, publisher = await Peer(version, "prop-sub").connect(), await Peer(version, "prop-pub").connect()
    await subscriber.subscribe(topic, 1, retain_as_published=True)
    publisher.client.publish(
        topic, "full", qos=1, content_type="text/plain", response_topic="gmqtt/5/reply",
        correlation_data=b"abc", message_expiry_interval=60, user_property=[("b", "1"), ("a", "2")],
    )
    got = (await subscriber.get("full"))[3]
    assert got["content_type"] == ["text/plain"] and got["response_topic"] == ["gmqtt/5/reply"], got
    assert got["user_property"] == [("b", "1"), ("a", "2")], got
    assert 55 <= got["message_expiry_interval"][0] <= 60, got
    await subscriber.leave()
    await publisher.leave()


async def main():
    failed = 0
    for version in NAMES:
        checks = [delivery, retained, will, session, shared]
        if version == MQTTv50:
            checks.append(properties)
        for check in checks:
            try:
                await asyncio.wait_for(check(version), 60)
                print(f"ok {check.__name__} in {NAMES[version]}", flush=True)
            except Exception as error:  # each check is reported, then the next one runs
                failed += 1
                print(f"FAILED {check.__name__} in {NAMES[version]}: {type(error).__name__} {error}", flush=True)
    return failed


sys.exit(asyncio.run(main()) != 0)
