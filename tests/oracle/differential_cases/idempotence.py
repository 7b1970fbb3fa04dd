"""InitProducerId and the sequence numbers of idempotent producers."""

import wire
from wire import record_batch

from . import collector
from .produce import TIME

CASES, case = collector()


class Producer:
    """An idempotent producer that sends exactly the sequences it is told to."""

    def __init__(self, broker, topic, partition=0):
        self.broker, self.topic, self.partition = broker, topic, partition
        self.id, self.epoch = broker.producer_id()

    def send(self, sequence, count=1, epoch=None, producer_id=None, attributes=0):
        batch = record_batch(
            tuple(b"%d" % index for index in range(count)),
            base_timestamp=TIME,
            producer_id=self.id if producer_id is None else producer_id,
            producer_epoch=self.epoch if epoch is None else epoch,
            base_sequence=sequence,
            attributes=attributes,
        )
        return self.broker.produce(self.topic, batch, self.partition)


@case()
def init_producer_id(broker):
    def ask(version=4, **request):
        return broker.ask("InitProducerId", {"TransactionalId": None, "TransactionTimeoutMs": 60_000} | request, version)

    outcome = {f"v{version}": ask(version) for version in range(6)}
    outcome["ids differ"] = broker.producer_id()[0] != broker.producer_id()[0]
    outcome["timeout 0"] = ask(TransactionTimeoutMs=0)
    outcome["timeout -1"] = ask(TransactionTimeoutMs=-1)
    outcome["timeout huge"] = ask(TransactionTimeoutMs=2**31 - 1)
    outcome["empty transactional id"] = ask(TransactionalId="")
    known, epoch = broker.producer_id()
    outcome["epoch of a known id"] = ask(ProducerId=known, ProducerEpoch=epoch)
    outcome["another epoch of a known id"] = ask(ProducerId=known, ProducerEpoch=epoch + 5)
    outcome["unknown id"] = ask(ProducerId=999_999, ProducerEpoch=0)
    outcome["id without epoch"] = ask(ProducerId=known, ProducerEpoch=-1)
    outcome["epoch without id"] = ask(ProducerId=-1, ProducerEpoch=3)
    outcome["epoch 32767"] = ask(ProducerId=known, ProducerEpoch=32767)
    return outcome


@case()
def in_order(broker):
    producer = Producer(broker, broker.topic())
    return {f"{sequence}+{count}": producer.send(sequence, count) for sequence, count in ((0, 1), (1, 3), (4, 1), (5, 10), (15, 1))}


@case()
def duplicates_in_the_window(broker):
    """The last five batches are known: sent again, they get their first offset again and are not stored twice."""
    topic = broker.topic()
    producer = Producer(broker, topic)
    for sequence in range(0, 12, 2):
        producer.send(sequence, 2)
    outcome = {f"again {sequence}": producer.send(sequence, 2) for sequence in (10, 8, 6, 4, 2, 0)}
    outcome["end"] = broker.list_offset(topic, -1)
    outcome["next"] = producer.send(12, 2)
    return outcome


@case()
def almost_duplicates(broker):
    topic = broker.topic()
    producer = Producer(broker, topic)
    for sequence in range(0, 12, 2):
        producer.send(sequence, 2)
    return {
        "same first, longer": producer.send(10, 3),
        "same first, shorter": producer.send(10, 1),
        "same last": producer.send(11, 1),
        "overlaps two": producer.send(9, 2),
        "spans two": producer.send(8, 4),
        "end": broker.list_offset(topic, -1),
    }


@case()
def gaps(broker):
    topic = broker.topic()
    producer = Producer(broker, topic)
    outcome = {"first is 5": producer.send(5), "first is 0": producer.send(0)}
    outcome["skips one"] = producer.send(2)
    outcome["goes back"] = producer.send(0, 2)
    outcome["negative"] = producer.send(-1)
    outcome["-5"] = producer.send(-5)
    outcome["right one"] = producer.send(1)
    return outcome


@case()
def first_sequence_of_an_unknown_producer(broker):
    outcome = {}
    for index, sequence in enumerate((0, 1, 100, 2**31 - 1, -1)):
        producer = Producer(broker, broker.topic(f"-{index}"))
        outcome[f"{sequence}"] = producer.send(sequence)
    return outcome


@case()
def wrap_around(broker):
    """Sequences go from 2^31 - 1 to 0."""
    topic = broker.topic()
    producer = Producer(broker, topic)
    largest = 2**31 - 1
    outcome = {"far": producer.send(largest - 3, 2)}
    outcome["across"] = producer.send(largest - 1, 4)
    outcome["again across"] = producer.send(largest - 1, 4)
    outcome["after"] = producer.send(2)
    outcome["wrong after"] = producer.send(4)
    return outcome


@case()
def epochs(broker):
    topic = broker.topic()
    producer = Producer(broker, topic)
    outcome = {"epoch 0": producer.send(0)}
    outcome["epoch 1 from 0"] = producer.send(0, epoch=1)
    outcome["epoch 0 again"] = producer.send(1, epoch=0)
    outcome["epoch 0 duplicate"] = producer.send(0, epoch=0)
    outcome["epoch 1 goes on"] = producer.send(1, epoch=1)
    outcome["epoch 2 from 3"] = producer.send(3, epoch=2)
    outcome["epoch 5 from 0"] = producer.send(0, epoch=5)
    outcome["epoch -1"] = producer.send(0, epoch=-1)
    outcome["epoch 32767"] = producer.send(0, epoch=32767)
    outcome["end"] = broker.list_offset(topic, -1)
    return outcome


@case()
def never_given_out(broker):
    """A producer id that this broker did not give out."""
    producer = Producer(broker, broker.topic())
    return {
        "from 0": producer.send(0, producer_id=900_000_001, epoch=0),
        "from 7": producer.send(7, producer_id=900_000_002, epoch=0),
        "epoch 3 from 0": producer.send(0, producer_id=900_000_003, epoch=3),
        "goes on": producer.send(1, producer_id=900_000_001, epoch=0),
    }


@case()
def two_partitions_count_apart(broker):
    topic = broker.topic(partitions=2)
    left, right = Producer(broker, topic, 0), Producer(broker, topic, 1)
    right.id, right.epoch = left.id, left.epoch
    return {"0/0": left.send(0), "1/0": right.send(0), "0/1": left.send(1), "1/2": right.send(2)}


@case()
def two_batches_of_one_producer(broker):
    topic = broker.topic()
    producer_id, epoch = broker.producer_id()

    def batch(sequence):
        return record_batch(base_timestamp=TIME, producer_id=producer_id, producer_epoch=epoch, base_sequence=sequence)

    return {"reply": broker.produce(topic, batch(0) + batch(1)), "then": broker.produce(topic, batch(0))}


@case()
def refused_batches_use_no_sequence(broker):
    topic = broker.topic(configs={"max.message.bytes": "1000"})
    producer = Producer(broker, topic)
    outcome = {"0": producer.send(0)}
    large = record_batch(
        (b"x" * 2000,), base_timestamp=TIME, producer_id=producer.id, producer_epoch=producer.epoch, base_sequence=1
    )
    outcome["too large"] = broker.produce(topic, large)
    spoiled = record_batch(
        base_timestamp=TIME, producer_id=producer.id, producer_epoch=producer.epoch, base_sequence=1, crc_delta=1
    )
    outcome["spoiled"] = broker.produce(topic, spoiled)
    outcome["1"] = producer.send(1)
    return outcome


@case()
def sequences_outlive_deleted_records(broker):
    topic = broker.topic()
    producer = Producer(broker, topic)
    for sequence in range(3):
        producer.send(sequence)
    broker.ask("DeleteRecords", {"Topics": [{"Name": topic, "Partitions": [{"PartitionIndex": 0, "Offset": -1}]}], "TimeoutMs": 5000}, 2)
    return {"again": producer.send(2), "next": producer.send(3), "gap": producer.send(9)}


@case()
def pipelined(broker):
    """Five in flight, the second spoiled: the ones behind it are refused, and sent again they are taken in order."""
    topic = broker.topic()
    producer_id, epoch = broker.producer_id()

    def request(sequence, crc_delta=0):
        batch = record_batch(
            base_timestamp=TIME, producer_id=producer_id, producer_epoch=epoch, base_sequence=sequence, crc_delta=crc_delta
        )
        return {"Acks": -1, "TimeoutMs": 5000, "TopicData": [{"Name": topic, "PartitionData": [{"Index": 0, "Records": batch}]}]}

    def send_all(sequences, spoil=None):
        ids = [broker.connection.send("Produce", request(s, s == spoil), 9) for s in sequences]
        replies = [broker.connection.receive("Produce", 9, correlation_id) for correlation_id in ids]
        partitions = [reply["Responses"][0]["PartitionResponses"][0] for reply in replies]
        return [[wire.error_name(partition["ErrorCode"]), partition["BaseOffset"]] for partition in partitions]

    return {"first": send_all(range(5), spoil=1), "again": send_all(range(1, 5)), "duplicates": send_all(range(5))}
