// Loaded before amqplib's tests: connections to AMQP's standard port, which they hard-code, go to SUITE_PORT on 127.0.0.1.
'use strict';

const net = require('node:net');

const port = Number(process.env.SUITE_PORT);
const connect = net.Socket.prototype.connect;

net.Socket.prototype.connect = function (...args) {
  const options = Array.isArray(args[0]) ? args[0][0] : args[0];
  if (options !== null && typeof options === 'object' && Number(options.port) === 5672) {
    options.port = port;
    options.host = '127.0.0.1';
  }
  return connect.apply(this, args);
};
