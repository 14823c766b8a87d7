// mqtt.js talks through a broker: `mqttjs_suite.mjs HOST PORT`. Prints a line for each check; exit code 0 if all hold.
// The package is found through MILLRACE_NODE_MODULES, which keeps it out of the checkout.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.MILLRACE_NODE_MODULES}/`);
const mqtt = require("mqtt");

const [host, port] = process.argv.slice(2);
const PATIENCE = 10_000;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const within = (promise, what, ms = PATIENCE) => {
  let timer;
  const limit = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms); });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
};

class Peer {
  static async connect(version, name, options = {}) {
    const peer = new Peer();
    peer.messages = [];
    peer.waiting = [];
    peer.client = mqtt.connect({
      host, port: Number(port), protocolVersion: version, clientId: `js${version}-${name}`, reconnectPeriod: 0,
      ...(version === 3 ? { protocolId: "MQIsdp" } : {}), ...options,
    });
    peer.client.on("error", () => {});
    peer.client.on("message", (topic, payload, packet) => {
      const message = { topic, text: payload.toString(), packet };
      const waiter = peer.waiting.shift();
      if (waiter) waiter(message); else peer.messages.push(message);
    });
    peer.connack = await within(new Promise((resolve) => peer.client.once("connect", resolve)), "CONNACK");
    return peer;
  }

  async subscribe(topic, options) {
    const granted = await within(this.client.subscribeAsync(topic, options), "SUBACK");
    return granted[0].qos;
  }

  publish(topic, text, options = {}) {
    return within(this.client.publishAsync(topic, text, options), "acknowledgement");
  }

  async get(text) {
    const message = this.messages.length
      ? this.messages.shift()
      : await within(new Promise((resolve) => this.waiting.push(resolve)), "message");
    if (text !== undefined) assert.equal(message.text, text);
    return message;
  }

  async silent(ms = 300) {
    await sleep(ms);
    assert.equal(this.messages.length, 0, `unexpected ${this.messages[0]?.topic}`);
  }

  leave() { return within(this.client.endAsync(), "end"); }
  vanish() { this.client.stream.destroy(); }
}

async function delivery(version) {
  const root = `js/${version}/delivery`;
  const subscriber = await Peer.connect(version, "sub");
  const publisher = await Peer.connect(version, "pub");
  for (let granted = 0; granted < 3; granted += 1) {
    assert.equal(await subscriber.subscribe(`${root}/${granted}`, { qos: granted }), granted);
    for (let qos = 0; qos < 3; qos += 1) {
      await publisher.publish(`${root}/${granted}`, `${qos}`, { qos });
      const message = await subscriber.get(`${qos}`);
      assert.equal(message.packet.qos, Math.min(qos, granted));
    }
  }
  for (let number = 0; number < 150; number += 1) publisher.client.publish(`${root}/1`, `${number}`, { qos: 1 });
  for (let number = 0; number < 150; number += 1) await subscriber.get(`${number}`);
  await subscriber.leave();
  await publisher.leave();
}

async function retained(version) {
  const topic = `js/${version}/retained`;
  const publisher = await Peer.connect(version, "ret-pub");
  await publisher.publish(topic, "kept", { qos: 1, retain: true });
  const subscriber = await Peer.connect(version, "ret-sub");
  await subscriber.subscribe(topic, { qos: 1 });
  assert.equal((await subscriber.get("kept")).packet.retain, true);
  await publisher.publish(topic, "", { qos: 1, retain: true });
  await subscriber.get("");
  await publisher.leave();
  await subscriber.leave();
}

async function will(version) {
  const topic = `js/${version}/will`;
  const watcher = await Peer.connect(version, "will-watch");
  await watcher.subscribe(topic, { qos: 1 });
  const client = await Peer.connect(version, "will", { will: { topic, payload: Buffer.from("gone"), qos: 1, retain: false } });
  client.vanish();
  await watcher.get("gone");
  await watcher.leave();
}

async function session(version) {
  const topic = `js/${version}/session`;
  const keep = { clean: false, ...(version === 5 ? { properties: { sessionExpiryInterval: 100 } } : {}) };
  let client = await Peer.connect(version, "session", keep);
  await client.subscribe(topic, { qos: 2 });
  await client.leave();
  const publisher = await Peer.connect(version, "session-pub");
  for (let number = 0; number < 6; number += 1) await publisher.publish(topic, `${number}`, { qos: 1 + (number % 2) });
  client = await Peer.connect(version, "session", { ...keep, resubscribe: false });
  assert.ok(version === 3 || client.connack.sessionPresent);
  const got = [];
  for (let number = 0; number < 6; number += 1) got.push((await client.get()).text);
  assert.deepEqual(got.sort(), ["0", "1", "2", "3", "4", "5"]);
  await client.silent();
  await client.leave();
  await (await Peer.connect(version, "session", { clean: true })).leave();
  await publisher.leave();
}

async function shared(version) {
  const topic = `js/${version}/shared`;
  const members = [await Peer.connect(version, "share0"), await Peer.connect(version, "share1")];
  // The library passes messages to those that subscribed to a matching filter; a share is taken as it is.
  for (const member of members) await member.subscribe(`$share/js${version}/${topic}`, { qos: 1 });
  const publisher = await Peer.connect(version, "share-pub");
  for (let number = 0; number < 20; number += 1) await publisher.publish(topic, `${number}`, { qos: 1 });
  await sleep(500);
  const got = [];
  for (const member of members) {
    assert.ok(member.messages.length > 0, "a member got nothing");
    got.push(...member.messages.map((message) => Number(message.text)));
  }
  assert.deepEqual(got.sort((a, b) => a - b), [...Array(20).keys()]);
  for (const peer of [...members, publisher]) await peer.leave();
}

async function properties(version) {
  const topic = "js/5/properties";
  const subscriber = await Peer.connect(version, "prop-sub", { properties: { topicAliasMaximum: 10 } });
  const publisher = await Peer.connect(version, "prop-pub", { autoUseTopicAlias: true });
  await subscriber.subscribe(topic, { qos: 1, rap: true, properties: { subscriptionIdentifier: 9 } });
  for (let round = 0; round < 5; round += 1) {
    await publisher.publish(topic, `${round}`, {
      qos: 1,
      properties: {
        payloadFormatIndicator: true, contentType: "text/plain", responseTopic: "js/5/reply",
        correlationData: Buffer.from([0, 1]), messageExpiryInterval: 60, userProperties: { b: ["1", "2"], a: "3" },
      },
    });
    const message = await subscriber.get(`${round}`);
    assert.equal(message.topic, topic);
    const got = message.packet.properties;
    assert.equal(got.contentType, "text/plain");
    assert.equal(got.responseTopic, "js/5/reply");
    assert.deepEqual([...got.correlationData], [0, 1]);
    assert.equal(got.subscriptionIdentifier, 9);
    assert.deepEqual({ ...got.userProperties }, { b: ["1", "2"], a: "3" });
  }
  await subscriber.leave();
  await publisher.leave();
}

let failed = 0;
for (const version of [3, 4, 5]) {
  const checks = [delivery, retained, will, session, shared];
  if (version === 5) checks.push(properties);
  for (const check of checks) {
    try {
      await within(check(version), check.name, 60_000);
      console.log(`ok ${check.name} in ${version}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED ${check.name} in ${version}: ${error.message}`);
    }
  }
}
process.exit(failed === 0 ? 0 : 1);
