// The peer: the smallest HTTP server around what @stripe/sync-engine offers to receivers, `processWebhook`, with what
// its own command `sync-engine` does around it: migrations first, then POST with the raw body, 200 or 400.
//
// One line of JSON on standard input says what to do; one line on standard output says where it listens. It ends
// with its standard input.

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import { StripeSync, runMigrations } from '@stripe/sync-engine'

const silent = { info() {}, warn() {}, error() {} }

// The migrations make a table for each object in Stripe's OpenAPI document, with a generated column for each field,
// and would fetch that document from GitHub. This is as much of it as describes the objects of the events to come, as
// they are: an object of the real document has more fields, and each costs the peer time.
function openApiDocument(objects) {
  const types = { string: 'string', number: 'integer', boolean: 'boolean', object: 'object' }
  const schema = (object) => ({
    'x-resourceId': object.object,
    type: 'object',
    properties: Object.fromEntries(
      Object.entries(object).map(([field, value]) => [
        field,
        { type: value === null ? 'string' : types[typeof value], nullable: true },
      ]),
    ),
  })
  const schemas = Object.fromEntries(objects.map((object) => [object.object.replace('.', '_'), schema(object)]))
  return { openapi: '3.0.0', components: { schemas } }
}

async function body(request) {
  const parts = []
  for await (const part of request) parts.push(part)
  return Buffer.concat(parts)
}

const [line] = await once(createInterface({ input: process.stdin }).on('close', () => process.exit()), 'line')
const { databaseUrl, webhookSecret, connections, objects } = JSON.parse(line)

await writeFile('openapi.json', JSON.stringify(openApiDocument(objects)))
await runMigrations({ databaseUrl, openApiSpecPath: 'openapi.json', logger: silent })
const sync = await StripeSync.create({
  poolConfig: { connectionString: databaseUrl, max: connections },
  // With the account's id it has nothing to ask Stripe.
  stripeSecretKey: 'sk_test_unused',
  stripeAccountId: 'acct_bench',
  stripeWebhookSecret: webhookSecret,
  logger: silent,
})

const server = createServer(async (request, response) => {
  try {
    await sync.webhook.processWebhook(await body(request), request.headers['stripe-signature'])
    response.end('{"received":true}')
  } catch (error) {
    response.statusCode = 400
    response.end(JSON.stringify({ error: error.message }))
  }
})
// Clients keep their connections while others are measured.
server.keepAliveTimeout = 0
server.listen(0, '127.0.0.1', () => {
  const version = (name) => JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version
  console.log(JSON.stringify({ port: server.address().port, node: process.version, pg: version('pg') }))
})
