// A scenario for franz-go, the pure Go client: every kind of producer, every place to begin reading at, and administration, each step
// checked. No consumer joins a group.
//
//	BOOTSTRAP=HOST:PORT tests/clients/franz_go
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	secondsMax = 120
	count      = 3000
)

// The first record is of that time in milliseconds, and each one a millisecond after the one before it.
var began = time.Now().Add(-time.Hour).UnixMilli()

func check(failed error, step string) {
	if failed != nil {
		fmt.Fprintf(os.Stderr, "franz_go: %s: %v\n", step, failed)
		os.Exit(1)
	}
}

func expect(right bool, format string, values ...any) {
	if !right {
		check(fmt.Errorf(format, values...), "expected otherwise")
	}
}

func client(options ...kgo.Opt) *kgo.Client {
	options = append(options, kgo.SeedBrokers(os.Getenv("BOOTSTRAP")), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	made, failed := kgo.NewClient(options...)
	check(failed, "client")
	return made
}

// The record at an index: its value has between a few and some hundred bytes, or is null, or empty.
func record(topic string, index int) *kgo.Record {
	digest := sha256.Sum256([]byte(fmt.Sprint(index)))
	made := &kgo.Record{
		Topic:     topic,
		Key:       []byte(fmt.Sprintf("key-%d", index)),
		Value:     bytes.Repeat(digest[:], index%13),
		Headers:   []kgo.RecordHeader{{Key: "index", Value: []byte(fmt.Sprint(index))}, {Key: "null"}},
		Timestamp: time.UnixMilli(began + int64(index)),
	}
	if index%17 == 0 {
		made.Value = nil
	}
	return made
}

func same(read *kgo.Record, topic string, index int) {
	wanted := record(topic, index)
	expect(bytes.Equal(read.Key, wanted.Key) && bytes.Equal(read.Value, wanted.Value), "%s: record %d is %v", topic, index, read)
	expect((read.Value == nil) == (wanted.Value == nil), "%s: record %d: null or empty", topic, index)
	expect(read.Timestamp.Equal(wanted.Timestamp), "%s: record %d is of %v", topic, index, read.Timestamp)
	headers := len(read.Headers) == 2 && bytes.Equal(read.Headers[0].Value, wanted.Headers[0].Value) && read.Headers[1].Value == nil
	expect(headers, "%s: record %d has headers %v", topic, index, read.Headers)
}

// Reads partition 0 from a place to the end, and insists on the records from `first` on at their offsets.
func read(context context.Context, topic string, from kgo.Offset, first int) {
	reader := client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: from}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxPartitionBytes(64<<10),
	)
	defer reader.Close()
	for index := first; index < count; {
		fetches := reader.PollFetches(context)
		check(fetches.Err(), "fetch of "+topic)
		fetches.EachRecord(func(found *kgo.Record) {
			expect(found.Offset == int64(index), "%s: offset %d where %d was due", topic, found.Offset, index)
			same(found, topic, index)
			index++
		})
	}
}

func produce(context context.Context, topic string, options ...kgo.Opt) {
	producer := client(append(options, kgo.ProducerBatchMaxBytes(32<<10), kgo.ProducerLinger(time.Millisecond))...)
	defer producer.Close()
	for index := 0; index < count; index++ {
		producer.Produce(context, record(topic, index), func(_ *kgo.Record, failed error) { check(failed, "produce to "+topic) })
	}
	check(producer.Flush(context), "flush of "+topic)
}

func producersAndReaders(context context.Context, admin *kadm.Client, prefix string) {
	codecs := []struct {
		name  string
		codec kgo.CompressionCodec
	}{
		{"none", kgo.NoCompression()}, {"gzip", kgo.GzipCompression()}, {"snappy", kgo.SnappyCompression()},
		{"lz4", kgo.Lz4Compression()}, {"zstd", kgo.ZstdCompression()},
	}
	kinds := []struct {
		name    string
		options []kgo.Opt
	}{
		{"acks-0", []kgo.Opt{kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1)}},
		{"acks-1", []kgo.Opt{kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1)}},
		{"acks-all", []kgo.Opt{kgo.RequiredAcks(kgo.AllISRAcks()), kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1)}},
		{"idempotent", nil},
	}
	for _, codec := range codecs {
		for _, kind := range kinds {
			topic := fmt.Sprintf("%s-%s-%s", prefix, codec.name, kind.name)
			_, failed := admin.CreateTopic(context, 1, 1, nil, topic)
			check(failed, "create "+topic)
			produce(context, topic, append(kind.options, kgo.ProducerBatchCompression(codec.codec))...)
			middle := count / 3
			read(context, topic, kgo.NewOffset().AtStart(), 0)
			read(context, topic, kgo.NewOffset().At(int64(middle)), middle)
			read(context, topic, kgo.NewOffset().AfterMilli(began+int64(middle)), middle)
			read(context, topic, kgo.NewOffset().AtEnd().Relative(-10), count-10)
			found, failed := admin.ListOffsetsAfterMilli(context, began+count-1, topic)
			check(failed, "offset of the latest time")
			latest, _ := found.Lookup(topic, 0)
			expect(latest.Offset == count-1 && latest.Timestamp == began+count-1, "%s: latest time at %v", topic, latest)
		}
	}
}

// The value of a topic's key, and whether it was set for that topic.
func config(context context.Context, admin *kadm.Client, topic, key string) (string, bool) {
	described, failed := admin.DescribeTopicConfigs(context, topic)
	check(failed, "describe configs")
	resource, failed := described.On(topic, nil)
	check(failed, "configs of "+topic)
	for _, entry := range resource.Configs {
		if entry.Key == key {
			return entry.MaybeValue(), entry.Source.String() == "DYNAMIC_TOPIC_CONFIG"
		}
	}
	return "", false
}

func administration(context context.Context, admin *kadm.Client, prefix string) {
	topic := prefix + "-admin"
	retention := "86400000"
	_, failed := admin.CreateTopic(context, 2, 1, map[string]*string{"retention.ms": &retention}, topic)
	check(failed, "create")
	_, failed = admin.CreateTopic(context, 2, 1, nil, topic)
	expect(errors.Is(failed, kerr.TopicAlreadyExists), "created twice: %v", failed)
	_, failed = admin.CreateTopic(context, 1, 1, nil, "no/name")
	expect(errors.Is(failed, kerr.InvalidTopicException), "created with a bad name: %v", failed)

	value, own := config(context, admin, topic, "retention.ms")
	expect(value == retention && own, "retention.ms is %s", value)
	size := "2000"
	altered, failed := admin.AlterTopicConfigs(context, []kadm.AlterConfig{
		{Op: kadm.DeleteConfig, Name: "retention.ms"}, {Op: kadm.SetConfig, Name: "max.message.bytes", Value: &size},
	}, topic)
	check(failed, "alter configs")
	_, failed = altered.On(topic, func(response *kadm.AlterConfigsResponse) error { return response.Err })
	check(failed, "alter configs of the topic")
	value, own = config(context, admin, topic, "retention.ms")
	expect(value == "604800000" && !own, "retention.ms is %s", value)
	plain := client(kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer plain.Close()
	failed = plain.ProduceSync(context, &kgo.Record{Topic: topic, Value: make([]byte, 2000)}).FirstErr()
	expect(errors.Is(failed, kerr.MessageTooLarge), "a record that is too large: %v", failed)

	grown, failed := admin.UpdatePartitions(context, 5, topic)
	check(failed, "create partitions")
	check(grown.Error(), "create partitions of the topic")
	details, failed := admin.ListTopics(context, topic)
	check(failed, "list topics")
	expect(len(details[topic].Partitions) == 5, "%d partitions", len(details[topic].Partitions))

	// A new client: the other one knows two partitions until it asks again.
	producer := client()
	defer producer.Close()
	for index := 0; index < 10; index++ {
		for partition := int32(0); partition < 5; partition++ {
			made := &kgo.Record{Topic: topic, Partition: partition, Value: []byte("x")}
			check(producer.ProduceSync(context, made).FirstErr(), "produce")
			expect(made.Offset == int64(index), "offset %d of record %d", made.Offset, index)
		}
	}
	before := kadm.Offsets{}
	before.Add(kadm.Offset{Topic: topic, Partition: 3, At: 7})
	before.Add(kadm.Offset{Topic: topic, Partition: 4, At: -1})
	deleted, failed := admin.DeleteRecords(context, before)
	check(failed, "delete records")
	check(deleted.Error(), "delete records of the topic")
	starts, failed := admin.ListStartOffsets(context, topic)
	check(failed, "list offsets")
	for partition, wanted := range []int64{0, 0, 0, 7, 10} {
		start, _ := starts.Lookup(topic, int32(partition))
		expect(start.Offset == wanted, "partition %d starts at %d", partition, start.Offset)
	}

	gone, failed := admin.DeleteTopics(context, topic, prefix+"-unknown")
	check(failed, "delete topics")
	check(gone[topic].Err, "delete the topic")
	expect(errors.Is(gone[prefix+"-unknown"].Err, kerr.UnknownTopicOrPartition), "deleted a topic that was not: %v", gone[prefix+"-unknown"].Err)
	details, failed = admin.ListTopics(context, topic)
	check(failed, "list topics")
	expect(errors.Is(details[topic].Err, kerr.UnknownTopicOrPartition), "the topic is still there: %v", details[topic])
}

func main() {
	context, cancel := context.WithTimeout(context.Background(), secondsMax*time.Second)
	defer cancel()
	plain := client()
	defer plain.Close()
	admin := kadm.NewClient(plain)
	prefix := fmt.Sprintf("franz-%d", os.Getpid())
	started := time.Now()
	producersAndReaders(context, admin, prefix)
	administration(context, admin, prefix)
	fmt.Printf("franz-go: every codec, kind of acknowledgement and place to read from, and administration, in %.1f s\n", time.Since(started).Seconds())
}
