import CCurl
import ObjectStore
import Synchronization

/// A multi handle with its easy handles and open connections.
///
/// `@unchecked Sendable`: a channel is used by one thread at a time, the one that has checked it
/// out of the ``ChannelPool``, whose lock orders one use before the next.
final class Channel: @unchecked Sendable {
    private let multi: CurlMulti
    private let slots: [Slot]
    private let options: TransferOptions

    /// An easy handle and the exchange that it is at work on.
    private final class Slot {
        let easy = CurlEasy()
        var exchange: Exchange?
        var headers: CurlHeaders?
    }

    init(_ options: TransferOptions) {
        self.options = options
        multi = CurlMulti(connections: options.width)
        slots = (0..<options.width).map { _ in Slot() }
    }

    /// Carries out exchanges, up to ``TransferOptions/width`` at a time; all have ended on return.
    ///
    /// - Parameter sign: called as each begins, so that no signature grows old in the queue.
    func carryOut(
        _ exchanges: [Exchange], sign: (HTTPRequest) throws(StoreError) -> SignedRequest
    ) {
        var waiting = exchanges[...]
        var busy = 0
        while true {
            for slot in slots where slot.exchange == nil {
                if let exchange = nextBegun(&waiting, slot, sign) {
                    slot.exchange = exchange
                    multi.add(slot.easy)
                    busy += 1
                }
            }
            if busy == 0 { return }

            multi.perform()
            let before = busy
            while let (raw, code) = multi.nextEnded() {
                end(raw, code)
                busy -= 1
            }
            if busy == before { multi.wait() }
        }
    }

    /// Begins the next exchange that can be; those that cannot end here.
    private func nextBegun(
        _ waiting: inout ArraySlice<Exchange>, _ slot: Slot,
        _ sign: (HTTPRequest) throws(StoreError) -> SignedRequest
    ) -> Exchange? {
        while let exchange = waiting.popFirst() {
            do throws(StoreError) {
                let signed = try sign(exchange.request)
                try exchange.begin()
                prepare(slot, for: exchange, signed)
                return exchange
            } catch {
                exchange.end(error)
            }
        }
        return nil
    }

    private func prepare(_ slot: Slot, for exchange: Exchange, _ signed: SignedRequest) {
        let headers = CurlHeaders(signed.headers)
        slot.easy.reset()
        slot.easy.apply(options)
        slot.easy.apply(exchange, url: signed.url)
        slot.easy.set(headers: headers)
        slot.headers = consume headers
    }

    private func end(_ raw: UnsafeMutableRawPointer, _ code: CURLcode) {
        for slot in slots where slot.easy.raw == raw {
            multi.remove(slot.easy)
            slot.exchange?.end(code, explanation: slot.easy.explain(code))
            slot.exchange = nil
            // The handle keeps pointers to what ends here.
            slot.easy.reset()
            slot.headers = nil
        }
    }

    deinit {
        // Easy handles leave before their multi handle goes; each has ended by now.
        assert(slots.allSatisfy { $0.exchange == nil })
    }
}

/// The channels that no thread uses now.
final class ChannelPool: Sendable {
    private let options: TransferOptions
    private let idle = Mutex<[Channel]>([])
    /// Channels kept; further ones are closed after use.
    private static let capacity = 16

    init(_ options: TransferOptions) { self.options = options }

    /// Lends a channel, the one used last, whose connections are the likeliest to be open still.
    func withChannel(_ body: (Channel) -> Void) {
        let channel = idle.withLock { $0.popLast() } ?? Channel(options)
        body(channel)
        idle.withLock { channels in
            if channels.count < Self.capacity { channels.append(channel) }
        }
    }
}
