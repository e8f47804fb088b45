// tardis-dev: JSON.parse, its mappers and its OrderBook, best prices read after every update.
// node tardis.js FOLDER PAYLOADS MARKET: a round for each line on stdin; the time is the process's CPU time, with what
// its helper threads take.

'use strict'
const fs = require('fs')
const path = require('path')
const readline = require('readline')

const [folder, file, market] = process.argv.slice(2)
const dist = path.resolve(folder, 'node_modules/tardis-dev/dist')
const { OrderBook } = require(path.join(dist, 'orderbook.js'))
const mappers = require(path.join(dist, 'mappers/binance.js'))

const exchange = market === 'spot' ? 'binance' : 'binance-futures'
const lines = fs.readFileSync(file).toString().split('\n').slice(0, -1)
const first = lines[0].startsWith('{"lastUpdateId"') ? lines.shift() : '{"lastUpdateId":-1,"bids":[],"asks":[]}'
lines.unshift(`{"stream":"btcusdt@depthSnapshot","data":${first}}`)

function round() {
  const Changes = market === 'spot' ? mappers.BinanceBookChangeMapper : mappers.BinanceFuturesBookChangeMapper
  const all = [
    new mappers.BinanceTradesMapper(exchange),
    new Changes(exchange, true),
    new mappers.BinanceBookTickerMapper(exchange)
  ]
  const book = new OrderBook()
  const localTimestamp = new Date()
  let trades = 0
  let traded = 0
  let bid
  let ask
  const begin = process.cpuUsage()
  for (const line of lines) {
    const message = JSON.parse(line)
    for (const mapper of all) {
      if (!mapper.canHandle(message)) continue
      for (const event of mapper.map(message, localTimestamp)) {
        if (event.type === 'trade') {
          trades += 1
          traded += event.amount
        } else if (event.type === 'book_change') {
          book.update(event)
          bid = book.bestBid()
          ask = book.bestAsk()
        }
      }
    }
  }
  const spent = process.cpuUsage(begin)
  let levels = 0
  for (const _ of book.bids()) levels += 1
  for (const _ of book.asks()) levels += 1
  return { ns: (spent.user + spent.system) * 1000, bid: bid.price, ask: ask.price, levels, trades, traded }
}

readline.createInterface({ input: process.stdin }).on('line', () => console.log(JSON.stringify(round())))
