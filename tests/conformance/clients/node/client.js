// amqplib against a broker: prints a word per step that it checked, see program.py.
'use strict';

const assert = require('node:assert');
const amqp = require('amqplib');

const url = process.argv[2];
const queue = `node-${process.pid}-${Date.now()}`;
const COUNT = 200;

const step = (name) => console.log(name);

async function publishAndConsume(connection) {
  const channel = await connection.createChannel();
  await channel.assertQueue(queue, { durable: true });
  await channel.prefetch(20);
  for (let i = 0; i < COUNT; i++) {
    channel.sendToQueue(queue, Buffer.from(`body ${i}`), { persistent: true, headers: { number: i, list: [1, 'two', { three: 3 }] } });
  }
  step('publish');
  const seen = [];
  await new Promise((resolve, reject) => {
    channel.on('error', reject);
    channel.consume(queue, (message) => {
      try {
        assert.equal(message.content.toString(), `body ${seen.length}`);
        assert.equal(message.fields.redelivered, false);
        assert.deepEqual(message.properties.headers, { number: seen.length, list: [1, 'two', { three: 3 }] });
        seen.push(message.fields.deliveryTag);
        channel.ack(message);
        if (seen.length === COUNT) resolve();
      } catch (error) {
        reject(error);
      }
    }, { consumerTag: 'reader' }).catch(reject);
  });
  assert.deepEqual(seen, Array.from({ length: COUNT }, (_, i) => i + 1));
  await channel.cancel('reader');
  await channel.close();
  step('consume');
}

async function confirms(connection) {
  const channel = await connection.createConfirmChannel();
  let confirmed = 0;
  for (let i = 0; i < COUNT; i++) {
    channel.sendToQueue(queue, Buffer.from(`kept ${i}`), { persistent: true }, (error) => {
      assert.ifError(error);
      confirmed++;
    });
  }
  await channel.waitForConfirms();
  assert.equal(confirmed, COUNT);
  const { messageCount } = await channel.checkQueue(queue);
  assert.equal(messageCount, COUNT);
  await channel.purgeQueue(queue);
  step('confirm');

  const returned = new Promise((resolve) => channel.once('return', resolve));
  channel.publish('amq.direct', 'nowhere', Buffer.from('lost'), { mandatory: true });
  const message = await returned;
  assert.equal(message.fields.replyCode, 312);
  assert.equal(message.fields.replyText, 'NO_ROUTE');
  assert.equal(message.content.toString(), 'lost');
  await channel.waitForConfirms();
  await channel.close();
  step('return');
}

async function getAndRecover(connection) {
  const channel = await connection.createChannel();
  assert.equal(await channel.get(queue, { noAck: true }), false);
  channel.sendToQueue(queue, Buffer.from('one'));
  channel.sendToQueue(queue, Buffer.from('two'));
  let message = await channel.get(queue);
  assert.equal(message.content.toString(), 'one');
  assert.equal(message.fields.messageCount, 1);
  channel.nack(message, false, true);
  message = await channel.get(queue);
  assert.equal(message.content.toString(), 'one');
  assert.equal(message.fields.redelivered, true);
  step('get');
  await channel.recover();
  for (const body of ['one', 'two']) {
    message = await channel.get(queue);
    assert.equal(message.content.toString(), body);
    assert.equal(message.fields.redelivered, body === 'one');
    channel.ack(message);
  }
  assert.equal(await channel.get(queue), false);
  await channel.close();
  step('recover');
}

async function reconnect(connection) {
  const back = new Promise((resolve) => connection.once('connect', resolve));
  step('cut');
  await back;
  const channel = await connection.createConfirmChannel();
  channel.sendToQueue(queue, Buffer.from('after'));
  await channel.waitForConfirms();
  const message = await channel.get(queue, { noAck: true });
  assert.equal(message.content.toString(), 'after');
  await channel.deleteQueue(queue);
  step('reconnect');
}

async function main() {
  const connection = await amqp.connect(url, { recovery: { initialDelay: 20, maxDelay: 200 } });
  connection.on('error', () => {});
  await publishAndConsume(connection);
  await confirms(connection);
  await getAndRecover(connection);
  await reconnect(connection);
  await connection.close();
}

main().catch((error) => {
  console.log(error.stack);
  process.exit(1);
});
