"""One member of a consumer group (confluent-kafka), as a process that can be killed.

  group_member.py GROUP TOPIC [KEY=VALUE...]     further keys of the client's configuration
BOOTSTRAP names the broker. It reads, commits what it has read, and only then writes it out, one line a record:

  ~ PARTITION OFFSET VALUE    read, and about to be committed
  = PARTITION OFFSET VALUE    the commit was acknowledged
  ? PARTITION OFFSET VALUE    the commit may have been made or not: it failed after an attempt that got no answer
  + PARTITION...              partitions it was given         - PARTITION...   partitions it was taken

A commit that was refused is no commit, and its records are not written with `=`: another member reads them. It leaves in order on SIGTERM.
"""

import os
import signal
import sys

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

# What says for sure that a commit was not made.
REFUSED = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError._NO_OFFSET,
}
COMMIT_ATTEMPTS_MAX = 60


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def tell(kind, messages):
    say("\n".join(f"{kind} {message.partition()} {message.offset()} {message.value().decode()}" for message in messages))


def main(group, topic, *settings):
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["BOOTSTRAP"],
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
            "reconnect.backoff.max.ms": 500,
            **dict(setting.split("=", 1) for setting in settings),
        }
    )
    consumer.subscribe(
        [topic],
        on_assign=lambda _, parts: say(" ".join(["+", *(str(part.partition) for part in parts)])),
        on_revoke=lambda _, parts: say(" ".join(["-", *(str(part.partition) for part in parts)])),
    )
    while not ended:
        messages = [message for message in consumer.consume(50, 0.5) if message.error() is None]
        if not messages:
            continue
        tell("~", messages)
        outcome = commit(consumer, topic, messages)
        if outcome:
            tell(outcome, messages)
    consumer.close()


def commit(consumer, topic, messages):
    """`=` if it was made, `?` if nobody knows, None if it was refused."""
    after = {message.partition(): message.offset() + 1 for message in messages}
    offsets = [TopicPartition(topic, partition, offset) for partition, offset in after.items()]
    unanswered = False
    for _ in range(COMMIT_ATTEMPTS_MAX):
        try:
            results = consumer.commit(offsets=offsets, asynchronous=False)
            errors = [result.error for result in results if result.error is not None]
        except KafkaException as failure:
            errors = [failure.args[0]]
        if not errors:
            return "="
        if any(error.code() in REFUSED for error in errors):
            return "?" if unanswered else None
        unanswered = True
        print(f"commit: {errors[0]}", file=sys.stderr)
        consumer.poll(0)
    return "?"


if __name__ == "__main__":
    main(*sys.argv[1:])
