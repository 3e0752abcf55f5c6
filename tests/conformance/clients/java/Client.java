// RabbitMQ's Java client against a broker: prints a word per step that it checked, see program.py.

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.CancelCallback;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.Recoverable;
import com.rabbitmq.client.RecoveryListener;
import com.rabbitmq.client.Return;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

public final class Client {
    private static final int COUNT = 200;

    private final Connection connection;
    private final String queue;

    private Client(Connection connection, String queue) {
        this.connection = connection;
        this.queue = queue;
    }

    private static void step(String name) {
        System.out.println(name);
        System.out.flush();
    }

    private static void demand(boolean truth, String otherwise) {
        if (!truth) {
            throw new IllegalStateException(otherwise);
        }
    }

    private static <T> T within(BlockingQueue<T> source, String what) throws InterruptedException {
        T value = source.poll(10, TimeUnit.SECONDS);
        demand(value != null, what + ": nothing came");
        return value;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private void publish(Channel channel, String body, int number) throws IOException {
        Map<String, Object> headers = Map.of("number", number, "list", List.of("a", true, 5_000_000_000L));
        AMQP.BasicProperties properties =
                new AMQP.BasicProperties.Builder().deliveryMode(2).headers(headers).messageId("m" + number).build();
        channel.basicPublish("", queue, properties, bytes(body));
    }

    private void publishAndConsume() throws Exception {
        Channel channel = connection.createChannel();
        channel.queueDeclare(queue, true, false, false, null);
        channel.basicQos(20);
        for (int i = 0; i < COUNT; i++) {
            publish(channel, "body " + i, i);
        }
        step("publish");
        BlockingQueue<Delivery> deliveries = new LinkedBlockingQueue<>();
        CancelCallback none = tag -> {};
        String tag = channel.basicConsume(queue, false, (t, delivery) -> deliveries.add(delivery), none);
        for (int i = 0; i < COUNT; i++) {
            Delivery delivery = within(deliveries, "delivery");
            String body = new String(delivery.getBody(), StandardCharsets.UTF_8);
            demand(body.equals("body " + i), body + " at " + i);
            demand(delivery.getEnvelope().getDeliveryTag() == i + 1, "tag at " + i);
            demand(!delivery.getEnvelope().isRedeliver(), "redelivered at " + i);
            demand(delivery.getProperties().getMessageId().equals("m" + i), "message id at " + i);
            Map<String, Object> headers = delivery.getProperties().getHeaders();
            demand(headers.get("number").equals(i), "headers " + headers);
            demand(((List<?>) headers.get("list")).get(2).equals(5_000_000_000L), "headers " + headers);
            channel.basicAck(delivery.getEnvelope().getDeliveryTag(), false);
        }
        channel.basicCancel(tag);
        channel.close();
        step("consume");
    }

    private void confirms() throws Exception {
        Channel channel = connection.createChannel();
        channel.confirmSelect();
        for (int i = 0; i < COUNT; i++) {
            publish(channel, "kept " + i, i);
        }
        channel.waitForConfirmsOrDie(10_000);
        demand(channel.messageCount(queue) == COUNT, "messages " + channel.messageCount(queue));
        demand(channel.queuePurge(queue).getMessageCount() == COUNT, "purged");
        step("confirm");

        BlockingQueue<Return> returns = new LinkedBlockingQueue<>();
        channel.addReturnListener((Return returned) -> { returns.add(returned); });
        channel.basicPublish("amq.direct", "nowhere", true, null, bytes("lost"));
        Return returned = within(returns, "return");
        demand(returned.getReplyCode() == 312 && returned.getReplyText().equals("NO_ROUTE"), "return " + returned.getReplyText());
        demand(new String(returned.getBody(), StandardCharsets.UTF_8).equals("lost"), "returned body");
        channel.waitForConfirmsOrDie(10_000);
        channel.close();
        step("return");
    }

    private GetResponse get(Channel channel, String body, boolean redelivered) throws IOException {
        GetResponse response = channel.basicGet(queue, false);
        demand(response != null, "nothing to get, wanted " + body);
        String got = new String(response.getBody(), StandardCharsets.UTF_8);
        demand(got.equals(body), "got " + got + ", wanted " + body);
        demand(response.getEnvelope().isRedeliver() == redelivered, body + ": redelivered");
        return response;
    }

    private void getAndRecover() throws Exception {
        Channel channel = connection.createChannel();
        demand(channel.basicGet(queue, true) == null, "a message in an empty queue");
        publish(channel, "one", 1);
        publish(channel, "two", 2);
        GetResponse first = get(channel, "one", false);
        demand(first.getMessageCount() == 1, "message count " + first.getMessageCount());
        channel.basicNack(first.getEnvelope().getDeliveryTag(), false, true);
        get(channel, "one", true);
        step("get");
        channel.basicRecover();
        channel.basicAck(get(channel, "one", true).getEnvelope().getDeliveryTag(), false);
        channel.basicAck(get(channel, "two", false).getEnvelope().getDeliveryTag(), false);
        channel.close();
        step("recover");
    }

    private void closedByServer() throws Exception {
        Channel channel = connection.createChannel();
        try {
            channel.queueDeclarePassive(queue + "-missing");
            demand(false, "a missing queue was found");
        } catch (IOException failure) {
            ShutdownSignalException cause = (ShutdownSignalException) failure.getCause();
            AMQP.Channel.Close close = (AMQP.Channel.Close) cause.getReason();
            demand(close.getReplyCode() == 404, "code " + close.getReplyCode());
            demand(close.getReplyText().equals("NOT_FOUND - no queue '" + queue + "-missing' in vhost '/'"), close.getReplyText());
        }
        demand(connection.isOpen(), "the connection went too");
        step("exception");
    }

    // The library's own recovery: connection, channel, exclusive queue, binding and consumer come back by themselves.
    private void reconnect() throws Exception {
        Channel channel = connection.createChannel();
        String reply = channel.queueDeclare("", false, true, true, null).getQueue();
        channel.queueBind(reply, "amq.topic", queue + ".#");
        BlockingQueue<Delivery> deliveries = new LinkedBlockingQueue<>();
        CancelCallback none = tag -> {};
        channel.basicConsume(reply, true, (t, delivery) -> deliveries.add(delivery), none);
        CountDownLatch recovered = new CountDownLatch(1);
        ((Recoverable) connection).addRecoveryListener(new RecoveryListener() {
            @Override
            public void handleRecovery(Recoverable recoverable) {
                recovered.countDown();
            }

            @Override
            public void handleRecoveryStarted(Recoverable recoverable) {}
        });
        step("cut");
        demand(recovered.await(20, TimeUnit.SECONDS), "no recovery");
        channel.basicPublish("amq.topic", queue + ".after", null, bytes("after"));
        demand(new String(within(deliveries, "delivery").getBody(), StandardCharsets.UTF_8).equals("after"), "body");
        channel.queueDelete(queue);
        step("reconnect");
    }

    public static void main(String[] arguments) throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(arguments[0]);
        factory.setNetworkRecoveryInterval(50);
        String queue = "java-" + ProcessHandle.current().pid() + "-" + System.nanoTime();
        try (Connection connection = factory.newConnection()) {
            Client client = new Client(connection, queue);
            client.publishAndConsume();
            client.confirms();
            client.getAndRecover();
            client.closedByServer();
            client.reconnect();
        }
    }
}
