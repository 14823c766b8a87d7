"""paho-mqtt talks through a broker: `paho_suite.py HOST PORT`. Prints a line for each check; exit code 0 if all hold."""

import queue
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

HOST, PORT = sys.argv[1], int(sys.argv[2])
NAMES = {mqtt.MQTTv31: "31", mqtt.MQTTv311: "311", mqtt.MQTTv5: "5"}
PATIENCE = 10


class Peer:
    """A connected client whose messages are in `inbox`."""

    def __init__(self, version, name, clean=True, expiry=None, will=None, connect=True):
        self.version = version
        self.inbox = queue.Queue()
        self.events = queue.Queue()
        self.client_id = f"paho{NAMES[version]}-{name}"[:23] if version == mqtt.MQTTv31 else f"paho{NAMES[version]}-{name}"
        keyword = {} if version == mqtt.MQTTv5 else {"clean_session": clean}
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=self.client_id, protocol=version, reconnect_on_failure=False, **keyword
        )
        self.client.on_connect = lambda c, u, flags, reason, p: self.events.put(("connected", flags.session_present, reason.value))
        self.client.on_message = lambda c, u, message: self.inbox.put(message)
        self.client.on_subscribe = lambda c, u, mid, reasons, p: self.events.put(("subscribed", [r.value for r in reasons]))
        self.client.on_unsubscribe = lambda c, u, mid, reasons, p: self.events.put(("unsubscribed",))
        if will:
            self.client.will_set(*will)
        self.connect_keyword = {"clean_start": clean} if version == mqtt.MQTTv5 else {}
        if version == mqtt.MQTTv5 and expiry:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = expiry
            self.connect_keyword["properties"] = properties
        if connect:
            self.connect()

    def connect(self):
        self.client.connect(HOST, PORT, keepalive=30, **self.connect_keyword)
        self.client.loop_start()
        event = self.events.get(timeout=PATIENCE)
        assert event[0] == "connected" and event[2] == 0, event
        self.session_present = event[1]

    def subscribe(self, topic, qos=0, options=None, properties=None):
        if options is not None:
            self.client.subscribe(topic, options=options, properties=properties)
        else:
            self.client.subscribe(topic, qos, properties=properties) if properties else self.client.subscribe(topic, qos)
        event = self.events.get(timeout=PATIENCE)
        assert event[0] == "subscribed", event
        return event[1][0]

    def publish(self, topic, payload, qos=0, retain=False, properties=None):
        info = self.client.publish(topic, payload, qos, retain, properties)
        info.wait_for_publish(PATIENCE)
        assert info.is_published(), f"QoS {qos} to {topic} was never acknowledged"

    def get(self, payload=None):
        message = self.inbox.get(timeout=PATIENCE)
        if payload is not None:
            assert message.payload == payload.encode(), (message.payload, payload)
        return message

    def silent(self, seconds=0.3):
        try:
            message = self.inbox.get(timeout=seconds)
        except queue.Empty:
            return
        raise AssertionError(f"unexpected {message.topic} {message.payload!r}")

    def leave(self):
        self.client.disconnect()
        self.client.loop_stop()

    def vanish(self):
        self.client.loop_stop()
        self.client._sock_close()


def delivery(version):
    root = f"paho/{NAMES[version]}/delivery"
    subscriber, publisher = Peer(version, "sub"), Peer(version, "pub")
    for granted in range(3):
        assert subscriber.subscribe(f"{root}/{granted}", granted) == granted
        for qos in range(3):
            publisher.publish(f"{root}/{granted}", f"{qos}", qos)
            message = subscriber.get(f"{qos}")
            assert message.qos == min(qos, granted) and not message.retain
    for number in range(200):
        publisher.client.publish(f"{root}/2", f"{number}", number % 3)
    counts = [int(subscriber.get().payload) for _ in range(200)]
    for qos in range(3):
        mine = [n for n in counts if n % 3 == qos]
        assert mine == sorted(mine), "out of order"
    assert sorted(counts) == list(range(200))
    large = "x" * 500_000
    publisher.publish(f"{root}/1", large, 1)
    subscriber.get(large)
    subscriber.leave()
    publisher.leave()


def retained(version):
    topic = f"paho/{NAMES[version]}/retained"
    publisher = Peer(version, "ret-pub")
    publisher.publish(topic, "kept", 1, retain=True)
    subscriber = Peer(version, "ret-sub")
    subscriber.subscribe(topic, 1)
    assert subscriber.get("kept").retain
    publisher.publish(topic, "", 1, retain=True)
    subscriber.get("")
    later = Peer(version, "ret-later")
    later.subscribe(topic, 1)
    later.silent()
    for peer in (publisher, subscriber, later):
        peer.leave()


def will(version):
    topic = f"paho/{NAMES[version]}/will"
    watcher = Peer(version, "will-watch")
    watcher.subscribe(topic, 1)
    client = Peer(version, "will", will=(topic, "gone", 1, False))
    client.vanish()
    watcher.get("gone")
    client = Peer(version, "will", will=(topic, "gone", 1, False))
    client.leave()
    watcher.silent()
    watcher.leave()


def session(version):
    topic = f"paho/{NAMES[version]}/session"
    client = Peer(version, "session", clean=False, expiry=100)
    client.subscribe(topic, 2)
    client.leave()
    publisher = Peer(version, "session-pub")
    for number in range(6):
        publisher.publish(topic, f"{number}", 1 + number % 2)
    client = Peer(version, "session", clean=False, expiry=100)
    assert client.session_present or version == mqtt.MQTTv31
    got = sorted(client.get().payload.decode() for _ in range(6))
    assert got == ["0", "1", "2", "3", "4", "5"], got
    client.silent()
    client.leave()
    Peer(version, "session", clean=True).leave()
    publisher.leave()


def shared(version):
    topic = f"paho/{NAMES[version]}/shared"
    members = [Peer(version, f"share{number}") for number in range(3)]
    for member in members:
        member.subscribe(f"$share/paho{NAMES[version]}/{topic}", 1)
    publisher = Peer(version, "share-pub")
    for number in range(30):
        publisher.publish(topic, f"{number}", 1)
    time.sleep(0.5)
    got = []
    for member in members:
        assert member.inbox.qsize() > 0, "a member got nothing"
        while not member.inbox.empty():
            got.append(int(member.inbox.get().payload))
    assert sorted(got) == list(range(30)), got
    for peer in [*members, publisher]:
        peer.leave()


def unsubscribe(version):
    topic = f"paho/{NAMES[version]}/unsubscribe"
    client = Peer(version, "unsub")
    client.subscribe(topic, 0)
    client.client.unsubscribe(topic)
    assert client.events.get(timeout=PATIENCE)[0] == "unsubscribed"
    client.publish(topic, "x", 1)
    client.silent()
    client.leave()


def properties(version):
    topic = "paho/5/properties"
    subscriber, publisher = Peer(version, "prop-sub"), Peer(version, "prop-pub")
    identifier = Properties(PacketTypes.SUBSCRIBE)
    identifier.SubscriptionIdentifier = 7
    subscriber.subscribe(topic, options=SubscribeOptions(qos=1, retainAsPublished=True), properties=identifier)
    sent = Properties(PacketTypes.PUBLISH)
    sent.PayloadFormatIndicator = 1
    sent.MessageExpiryInterval = 60
    sent.ContentType = "text/plain"
    sent.ResponseTopic = "paho/5/reply"
    sent.CorrelationData = b"\x00\x01"
    sent.UserProperty = [("b", "1"), ("a", "2"), ("b", "1")]
    publisher.publish(topic, "full", 1, properties=sent)
    got = subscriber.get("full").properties
    assert got.PayloadFormatIndicator == 1 and got.ContentType == "text/plain"
    assert got.ResponseTopic == "paho/5/reply" and got.CorrelationData == b"\x00\x01"
    assert got.UserProperty == [("b", "1"), ("a", "2"), ("b", "1")]
    assert got.SubscriptionIdentifier == [7] and 55 <= got.MessageExpiryInterval <= 60
    own = Peer(version, "prop-own")
    own.subscribe("paho/5/own", options=SubscribeOptions(qos=0, noLocal=True))
    own.publish("paho/5/own", "mine", 1)
    own.silent()
    for peer in (subscriber, publisher, own):
        peer.leave()


def main():
    failed = 0
    for version in NAMES:
        checks = [delivery, retained, will, session, shared, unsubscribe]
        if version == mqtt.MQTTv5:
            checks.append(properties)
        for check in checks:
            try:
                check(version)
                print(f"ok {check.__name__} in {NAMES[version]}", flush=True)
            except Exception as error:  # each check is reported, then the next one runs
                failed += 1
                print(f"FAILED {check.__name__} in {NAMES[version]}: {type(error).__name__} {error}", flush=True)
    sys.exit(failed != 0)


main()
