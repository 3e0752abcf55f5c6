// amqp091-go against a broker: prints a word per step that it checked, see program.py.
// The library leaves reconnecting to its user: after the cut this program dials again.
package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const count = 200

func check(err error, what string) {
	if err != nil {
		fmt.Printf("%s: %v\n", what, err)
		os.Exit(1)
	}
}

func demand(truth bool, format string, arguments ...any) {
	if !truth {
		fmt.Printf(format+"\n", arguments...)
		os.Exit(1)
	}
}

func within[T any](source <-chan T, what string) T {
	select {
	case value, open := <-source:
		demand(open, "%s: the channel ended", what)
		return value
	case <-time.After(10 * time.Second):
		demand(false, "%s: nothing came", what)
	}
	panic("not reached")
}

func publish(channel *amqp.Channel, queue string, number int) {
	check(channel.PublishWithContext(context.Background(), "", queue, false, false, amqp.Publishing{
		DeliveryMode: amqp.Persistent,
		Headers:      amqp.Table{"number": int32(number), "deep": amqp.Table{"list": []any{"a", true}}},
		MessageId:    fmt.Sprint(number),
		Body:         []byte(fmt.Sprintf("body %d", number)),
	}), "publish")
}

func publishAndConsume(connection *amqp.Connection, queue string) {
	channel, err := connection.Channel()
	check(err, "channel")
	_, err = channel.QueueDeclare(queue, true, false, false, false, nil)
	check(err, "declare")
	check(channel.Qos(20, 0, false), "qos")
	for i := 0; i < count; i++ {
		publish(channel, queue, i)
	}
	fmt.Println("publish")
	deliveries, err := channel.Consume(queue, "reader", false, false, false, false, nil)
	check(err, "consume")
	for i := 0; i < count; i++ {
		delivery := within(deliveries, "delivery")
		demand(string(delivery.Body) == fmt.Sprintf("body %d", i), "body %q at %d", delivery.Body, i)
		demand(delivery.DeliveryTag == uint64(i+1), "tag %d at %d", delivery.DeliveryTag, i)
		demand(!delivery.Redelivered, "redelivered at %d", i)
		wanted := amqp.Table{"number": int32(i), "deep": amqp.Table{"list": []any{"a", true}}}
		demand(reflect.DeepEqual(delivery.Headers, wanted), "headers %v", delivery.Headers)
		check(delivery.Ack(false), "ack")
	}
	check(channel.Cancel("reader", false), "cancel")
	check(channel.Close(), "close")
	fmt.Println("consume")
}

func confirms(connection *amqp.Connection, queue string) {
	channel, err := connection.Channel()
	check(err, "channel")
	check(channel.Confirm(false), "confirm.select")
	confirmed := channel.NotifyPublish(make(chan amqp.Confirmation, 2*count))
	for i := 0; i < count; i++ {
		publish(channel, queue, i)
	}
	for i := 0; i < count; i++ {
		confirmation := within(confirmed, "confirmation")
		demand(confirmation.Ack && confirmation.DeliveryTag == uint64(i+1), "confirmation %v", confirmation)
	}
	purged, err := channel.QueuePurge(queue, false)
	check(err, "purge")
	demand(purged == count, "purged %d", purged)
	fmt.Println("confirm")

	returns := channel.NotifyReturn(make(chan amqp.Return, 1))
	check(channel.PublishWithContext(context.Background(), "amq.direct", "nowhere", true, false,
		amqp.Publishing{Body: []byte("lost")}), "publish")
	returned := within(returns, "return")
	demand(returned.ReplyCode == 312 && returned.ReplyText == "NO_ROUTE", "return %v", returned)
	demand(string(returned.Body) == "lost", "returned body %q", returned.Body)
	demand(within(confirmed, "confirmation").Ack, "the returned message was not confirmed")
	check(channel.Close(), "close")
	fmt.Println("return")
}

func get(channel *amqp.Channel, queue string, body string, redelivered bool) amqp.Delivery {
	message, found, err := channel.Get(queue, false)
	check(err, "get")
	demand(found, "nothing to get, wanted %s", body)
	demand(string(message.Body) == body, "got %q, wanted %q", message.Body, body)
	demand(message.Redelivered == redelivered, "%s: redelivered %v", body, message.Redelivered)
	return message
}

func getAndRecover(connection *amqp.Connection, queue string) {
	channel, err := connection.Channel()
	check(err, "channel")
	_, found, err := channel.Get(queue, true)
	check(err, "get of nothing")
	demand(!found, "a message in an empty queue")
	publish(channel, queue, 1)
	publish(channel, queue, 2)
	first := get(channel, queue, "body 1", false)
	demand(first.MessageCount == 1, "message count %d", first.MessageCount)
	check(first.Nack(false, true), "nack")
	get(channel, queue, "body 1", true)
	fmt.Println("get")
	check(channel.Recover(true), "recover")
	check(get(channel, queue, "body 1", true).Ack(false), "ack")
	check(get(channel, queue, "body 2", false).Ack(false), "ack")
	check(channel.Close(), "close")
	fmt.Println("recover")
}

// A precondition that fails closes the channel alone, with the code and the class of the error.
func closedByServer(connection *amqp.Connection, queue string) {
	channel, err := connection.Channel()
	check(err, "channel")
	_, err = channel.QueueDeclare(queue, false, false, false, false, nil)
	failure, ok := err.(*amqp.Error)
	demand(ok && failure.Code == amqp.PreconditionFailed && failure.Server, "error %v", err)
	demand(!connection.IsClosed(), "the connection went too")
	fmt.Println("exception")
}

func reconnect(url string, connection *amqp.Connection, queue string) {
	closed := connection.NotifyClose(make(chan *amqp.Error, 1))
	fmt.Println("cut")
	within(closed, "close")
	again, err := amqp.Dial(url)
	check(err, "dial")
	channel, err := again.Channel()
	check(err, "channel")
	publish(channel, queue, 7)
	check(get(channel, queue, "body 7", false).Ack(false), "ack")
	_, err = channel.QueueDelete(queue, false, false, false)
	check(err, "delete")
	check(again.Close(), "close")
	fmt.Println("reconnect")
}

func main() {
	url := os.Args[1]
	queue := fmt.Sprintf("go-%d-%d", os.Getpid(), time.Now().UnixNano())
	connection, err := amqp.Dial(url)
	check(err, "dial")
	publishAndConsume(connection, queue)
	confirms(connection, queue)
	getAndRecover(connection, queue)
	closedByServer(connection, queue)
	reconnect(url, connection, queue)
}
