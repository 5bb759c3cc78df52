import ObjectStore

/// A unit of network work: a single exchange, or several that depend on each other. One thread uses
/// it at a time.
protocol Transfer: AnyObject {
    /// Returns the next step. It is called again whenever one of its exchanges has ended, and
    /// whenever there may be room for another one.
    func next() -> NextStep

    /// Called when one of its exchanges has ended, with or without an answer.
    func ended(_ exchange: Exchange)
}

/// The next step of a transfer.
enum NextStep {
    case begin(Exchange)
    /// Wait until this time, and then repeat an exchange.
    case wait(until: ContinuousClock.Instant)
    /// Wait for one of its exchanges to progress.
    case idle
    /// End: none of its exchanges is in progress.
    case done
}

/// A transfer that performs one request to the store.
protocol StoreTransfer: Transfer {
    /// The result, which the waiting thread reads once the transfer has ended.
    func conclude() throws(StoreError) -> StoreAnswer
}

/// The transfers to perform; those that have begun take precedence.
struct TransferQueue {
    private var waiting: ArraySlice<any Transfer>
    private var underWay: [any Transfer] = []
    /// When to call ``Transfer/next()`` again, unless an exchange ends before.
    private(set) var wakeUp: ContinuousClock.Instant?

    init(_ transfers: [any Transfer]) { waiting = transfers[...] }

    /// Returns the next exchange that can begin; nil if none can begin now.
    mutating func next() -> (exchange: Exchange, of: any Transfer)? {
        wakeUp = nil
        var index = 0
        while true {
            if index == underWay.count {
                guard let fresh = waiting.popFirst() else { return nil }
                underWay.append(fresh)
            }
            switch underWay[index].next() {
            case .begin(let exchange):
                // There may be no room for another one until an exchange ends.
                wakeUp = nil
                return (exchange, underWay[index])
            case .done: underWay.remove(at: index)
            case .idle: index += 1
            case .wait(let instant):
                wakeUp = min(wakeUp ?? instant, instant)
                index += 1
            }
        }
    }
}

/// A request to the store that takes one exchange.
final class PlainTransfer: StoreTransfer {
    private let request: StoreRequest
    private let store: S3Store
    private let exchange: Exchange

    init(_ request: StoreRequest, at store: S3Store) {
        self.request = request
        self.store = store
        let http = store.httpRequest(request)
        if case .get(_, .nowhere) = request {
            exchange = Exchange(http) { _ in DownloadSink(.nowhere, .onTheWay) }
        } else {
            exchange = Exchange(http)
        }
    }

    func next() -> NextStep { exchange.next() }

    func ended(_ exchange: Exchange) {}

    func conclude() throws(StoreError) -> StoreAnswer {
        let http = try exchange.result()
        let answer = try store.classification.answer(to: request, http)
        if case .stored(let etag?) = answer { try store.compare(etag, with: http, of: request.key) }
        return answer
    }
}
