"""One member of a consumer group (confluent-kafka), as a process that can be killed.

  group_member.py GROUP TOPIC [KEY=VALUE...]     further keys of the client's configuration; TOPIC may be a pattern of one, with ^ in front
BOOTSTRAP names the broker. It reads, commits what it has read, and only then writes it out, one line a record:

  ~ PARTITION OFFSET VALUE    read, and about to be committed
  = PARTITION OFFSET VALUE    the commit was acknowledged
  ? PARTITION OFFSET VALUE    the commit may have been made or not: it failed after an attempt that got no answer
  + PARTITION...              partitions it was given         - PARTITION...   partitions it was taken

A commit that was refused is no commit: its records are not written with `=`. Those of partitions that are taken meanwhile are read by
another member; those of partitions it keeps (a cooperative rebalance moves no position back) are committed with what it reads next.
"""

import os
import signal
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

# What says for sure that a commit was not made.
REFUSED = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.FENCED_MEMBER_EPOCH,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError._NO_OFFSET,
}
COMMIT_ATTEMPTS_MAX = 60
COMMIT_PAUSE_SECONDS = 0.2


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def tell(kind, messages):
    say("\n".join(f"{kind} {message.partition()} {message.offset()} {message.value().decode()}" for message in messages))


def main(group, topic, *settings):
    wanted = dict(setting.split("=", 1) for setting in settings)
    # In a consumer group the broker says these.
    timing = {} if wanted.get("group.protocol") == "consumer" else {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["BOOTSTRAP"],
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "reconnect.backoff.max.ms": 500,
            **timing,
            **wanted,
        }
    )
    uncommitted = {}

    def given(_, partitions):
        say(" ".join(["+", *(str(part.partition) for part in partitions)]))
        uncommitted.update((part.partition, []) for part in partitions)

    def taken(_, partitions):
        say(" ".join(["-", *(str(part.partition) for part in partitions)]))
        for part in partitions:
            uncommitted.pop(part.partition, None)

    consumer.subscribe([topic], on_assign=given, on_revoke=taken, on_lost=taken)
    while not ended:
        read = [message for message in consumer.consume(50, 0.5) if message.error() is None]
        # A partition may be taken while the rest of a batch is waited for.
        read = [message for message in read if message.partition() in uncommitted]
        if read:
            tell("~", read)
        for message in read:
            uncommitted[message.partition()].append(message)
        messages = [message for held in uncommitted.values() for message in held]
        if not messages:
            continue
        outcome = commit(consumer, messages)
        if outcome:
            tell(outcome, messages)
        if outcome == "=":
            uncommitted.update((partition, []) for partition in uncommitted)
    consumer.close()


def commit(consumer, messages):
    """`=` if it was made, `?` if nobody knows, None if it was refused."""
    after = {message.partition(): message.offset() + 1 for message in messages}
    topic = messages[0].topic()
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
        # Not by poll(): it would hand over a record here, or take a partition in the middle of a commit.
        time.sleep(COMMIT_PAUSE_SECONDS)
    return "?"


if __name__ == "__main__":
    main(*sys.argv[1:])
