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

    /// An easy handle and the exchange that it is performing.
    private final class Slot {
        let easy = CurlEasy()
        var exchange: Exchange?
        var transfer: (any Transfer)?
        var headers: CurlHeaders?
    }

    init(_ options: TransferOptions) {
        self.options = options
        multi = CurlMulti(connections: options.width)
        slots = (0..<options.width).map { _ in Slot() }
    }

    /// Performs transfers, up to ``TransferOptions/width`` exchanges at a time. All of them have
    /// ended when it returns.
    ///
    /// - Parameters:
    ///   - servers: collects the server software that answered.
    ///   - sign: called as each exchange begins, so that no signature expires in the queue.
    func carryOut(
        _ transfers: [any Transfer], noting servers: ServerWatch,
        sign: (HTTPRequest) throws(StoreError) -> SignedRequest
    ) {
        var queue = TransferQueue(transfers)
        var busy = 0
        while true {
            for slot in slots where slot.exchange == nil {
                if !beginNext(of: &queue, slot, sign) { break }
                busy += 1
            }
            if busy == 0 {
                guard let instant = queue.wakeUp else { return }
                multi.wait(atMost: Self.milliseconds(until: instant))
                continue
            }

            multi.perform()
            let before = busy
            while let (raw, code) = multi.nextEnded() {
                end(raw, code, servers)
                busy -= 1
            }
            if busy == before { multi.wait(atMost: Self.milliseconds(until: queue.wakeUp)) }
        }
    }

    /// The longest wait, in milliseconds: until that time, but at most a second.
    static func milliseconds(until instant: ContinuousClock.Instant?) -> Int32 {
        guard let instant else { return 1000 }
        // A machine that was suspended can be weeks late.
        let left = min(max(instant - .now, .zero), .seconds(1))
        if left == .zero { return 0 }
        let (seconds, attoseconds) = left.components
        return Int32(seconds) * 1000 + Int32(attoseconds / 1_000_000_000_000_000) + 1
    }

    /// Begins the next exchange that can be sent; one that cannot be sent ends here.
    ///
    /// - Returns: false if none can begin now.
    private func beginNext(
        of queue: inout TransferQueue, _ slot: Slot,
        _ sign: (HTTPRequest) throws(StoreError) -> SignedRequest
    ) -> Bool {
        while let (exchange, transfer) = queue.next() {
            do throws(StoreError) {
                try exchange.begin()
                let signed = try sign(exchange.request)
                prepare(slot, for: exchange, signed)
                StoreMeter.countRequest()
            } catch {
                exchange.end(error)
                transfer.ended(exchange)
                continue
            }
            slot.exchange = exchange
            slot.transfer = transfer
            multi.add(slot.easy)
            return true
        }
        return false
    }

    private func prepare(_ slot: Slot, for exchange: Exchange, _ signed: SignedRequest) {
        let headers = CurlHeaders(signed.headers)
        slot.easy.reset()
        slot.easy.apply(options)
        slot.easy.apply(exchange, url: signed.url)
        slot.easy.set(headers: headers)
        slot.headers = consume headers
    }

    private func end(
        _ raw: UnsafeMutableRawPointer, _ code: CURLcode, _ servers: ServerWatch
    ) {
        for slot in slots where slot.easy.raw == raw {
            multi.remove(slot.easy)
            if let exchange = slot.exchange {
                exchange.end(code, explanation: slot.easy.explain(code))
                exchange.note(in: servers)
                slot.transfer?.ended(exchange)
            }
            slot.exchange = nil
            slot.transfer = nil
            // The handle has pointers to memory that is released here.
            slot.easy.reset()
            slot.headers = nil
        }
    }

    deinit {
        // Easy handles must be removed before their multi handle is freed. All have ended by now.
        assert(slots.allSatisfy { $0.exchange == nil })
    }
}

/// The channels that no thread is using.
final class ChannelPool: Sendable {
    private let options: TransferOptions
    private let idle = Mutex<[Channel]>([])
    /// The number of channels that are kept; others are closed after use.
    private static let capacity = 16

    init(_ options: TransferOptions) { self.options = options }

    /// Lends the channel that was used last, since its connections are most likely still open.
    func withChannel(_ body: (Channel) -> Void) {
        let channel = idle.withLock { $0.popLast() } ?? Channel(options)
        body(channel)
        idle.withLock { channels in
            if channels.count < Self.capacity { channels.append(channel) }
        }
    }
}
