"""confluent-kafka (Python, over librdkafka) as a line producer and an assigning consumer.

  confluent_client.py produce TOPIC CODEC IDEMPOTENCE(on|off) [--keyed] < lines
  confluent_client.py consume TOPIC PARTITION COUNT [--keyed]           > lines
BOOTSTRAP names the broker. A keyed line is key, tab, value.
"""

import os
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition

SILENCE_SECONDS_MAX = 30


def produce(topic, codec, idempotence, keyed):
    failures = []

    def delivered(error, _message):
        if error is not None:
            failures.append(error)

    producer = Producer(
        {
            "bootstrap.servers": os.environ["BOOTSTRAP"],
            "compression.type": codec,
            "enable.idempotence": idempotence == "on",
            "acks": "all",
            "linger.ms": 20,
            "queue.buffering.max.messages": 200_000,
            "message.timeout.ms": 60_000,
        }
    )
    for line in sys.stdin.buffer:
        line = line.removesuffix(b"\n")
        key, value = line.split(b"\t", 1) if keyed else (None, line)
        while True:
            try:
                producer.produce(topic, value, key, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    unsent = producer.flush(120)
    if unsent or failures:
        sys.exit(f"confluent-kafka: {unsent} not delivered, {len(failures)} failed: {failures[:3]}")


def consume(topic, partition, count, keyed):
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["BOOTSTRAP"],
            # The client wants a name for its group even where no group is joined and nothing is committed.
            "group.id": "assigned-only",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "check.crcs": True,
        }
    )
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    left = count
    expected_offset = 0
    while left > 0:
        messages = consumer.consume(num_messages=min(left, 10_000), timeout=SILENCE_SECONDS_MAX)
        if not messages:
            sys.exit(f"confluent-kafka: {left} of {count} records missing after {SILENCE_SECONDS_MAX} s of silence")
        for message in messages:
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    continue
                raise KafkaException(error)
            if message.offset() != expected_offset:
                sys.exit(f"confluent-kafka: offset {message.offset()} where {expected_offset} was due")
            expected_offset += 1
            if keyed:
                sys.stdout.buffer.write(message.key() + b"\t")
            sys.stdout.buffer.write(message.value() + b"\n")
            left -= 1
    sys.stdout.buffer.flush()
    consumer.close()


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--keyed"]
    is_keyed = "--keyed" in sys.argv
    if words[0] == "produce":
        produce(words[1], words[2], words[3], is_keyed)
    elif words[0] == "consume":
        consume(words[1], int(words[2]), int(words[3]), is_keyed)
    else:
        sys.exit(__doc__)
