// @platformatic/kafka (a client of its own, in JavaScript, no librdkafka) as a line producer and a reader by plain Fetch requests.
//
//   platformatic_client.mjs produce TOPIC CODEC IDEMPOTENCE(on|off) [--keyed] < lines
//   platformatic_client.mjs consume TOPIC PARTITION COUNT [--keyed]           > lines
//
// BOOTSTRAP names the broker; NODE_CLIENTS names the folder that holds node_modules. A keyed line is key, tab, value.
import { once } from 'node:events'
import { createRequire } from 'node:module'
import path from 'node:path'
import process from 'node:process'
import { pathToFileURL } from 'node:url'
import zlib from 'node:zlib'

const require = createRequire(path.join(process.env.NODE_CLIENTS, 'package.json'))

// Node before 22.15 has no zstd of its own, and the client looks for it once, when it is loaded.
if (!zlib.zstdCompressSync) {
  const zstd = require('@bokuweb/zstd-wasm')
  await zstd.init()
  zlib.zstdCompressSync = data => Buffer.from(zstd.compress(data, 3))
  zlib.zstdDecompressSync = data => Buffer.from(zstd.decompress(data))
}
const { Consumer, Producer, stringSerializers } = await import(
  pathToFileURL(path.join(process.env.NODE_CLIENTS, 'node_modules/@platformatic/kafka/dist/index.js'))
)

const bootstrapBrokers = [process.env.BOOTSTRAP]
const batchRecords = 2000

async function produce (topic, codec, idempotence, keyed) {
  const producer = new Producer({
    clientId: 'platformatic',
    bootstrapBrokers,
    idempotent: idempotence === 'on',
    acks: -1,
    compression: codec,
    serializers: stringSerializers,
    autocreateTopics: false
  })
  let messages = []
  const send = async () => {
    await producer.send({ messages })
    messages = []
  }
  // Lines are split at line feeds only: readline would also split at U+2028.
  for await (const line of lineFeedLines(process.stdin)) {
    if (keyed) {
      const tab = line.indexOf('\t')
      messages.push({ topic, key: line.slice(0, tab), value: line.slice(tab + 1) })
    } else {
      messages.push({ topic, partition: 0, value: line })
    }
    if (messages.length === batchRecords) {
      await send()
    }
  }
  if (messages.length > 0) {
    await send()
  }
  await producer.close()
}

async function * lineFeedLines (stream) {
  let rest = ''
  stream.setEncoding('utf8')
  for await (const chunk of stream) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop()
    yield * lines
  }
  if (rest !== '') {
    yield rest
  }
}

async function consume (topic, partition, count, keyed) {
  // The consumer wants a name for its group, but fetch() neither joins a group nor commits.
  const consumer = new Consumer({ clientId: 'platformatic', groupId: 'assigned-only', bootstrapBrokers, retries: 0 })
  const metadata = await consumer.metadata({ topics: [topic] })
  const { id: topicId, partitions } = metadata.topics.get(topic)
  const node = partitions[partition].leader
  let offset = 0n
  let left = count
  let emptyFetches = 0
  while (left > 0) {
    const response = await consumer.fetch({
      node,
      maxWaitTime: 1000,
      minBytes: 1,
      maxBytes: 8 << 20,
      isolationLevel: 0,
      topics: [{
        topicId,
        partitions: [{ partition, currentLeaderEpoch: -1, fetchOffset: offset, lastFetchedEpoch: -1, partitionMaxBytes: 4 << 20 }]
      }]
    })
    const out = []
    for (const batch of response.responses[0]?.partitions[0]?.records ?? []) {
      for (const record of batch.records) {
        const recordOffset = batch.firstOffset + BigInt(record.offsetDelta)
        // The batch that holds the fetch offset comes whole: what lies before the offset was seen already.
        if (recordOffset < offset || left === 0) {
          continue
        }
        if (recordOffset !== offset) {
          throw new Error(`offset ${recordOffset} where ${offset} was due`)
        }
        offset += 1n
        left -= 1
        if (keyed) {
          out.push(record.key, '\t')
        }
        out.push(record.value, '\n')
      }
    }
    emptyFetches = out.length === 0 ? emptyFetches + 1 : 0
    if (emptyFetches === 30) {
      throw new Error(`${left} of ${count} records missing after 30 empty fetches`)
    }
    if (!process.stdout.write(Buffer.concat(out.map(piece => Buffer.from(piece))))) {
      await once(process.stdout, 'drain')
    }
  }
  await consumer.close()
}

const keyed = process.argv.includes('--keyed')
const [verb, topic, ...rest] = process.argv.slice(2).filter(word => word !== '--keyed')
if (verb === 'produce') {
  await produce(topic, rest[0], rest[1], keyed)
} else if (verb === 'consume') {
  await consume(topic, Number(rest[0]), Number(rest[1]), keyed)
} else {
  throw new Error(`unknown verb ${verb}`)
}
