import ObjectStore

/// One piece of work on the network: a single exchange, or several that depend on each other. Used
/// by one thread at a time.
protocol Transfer: AnyObject {
    /// What can begin now. Asked again after each of its exchanges has ended, and whenever there
    /// may be room for more of them.
    func next() -> NextStep

    /// One of its exchanges has ended, by an answer or without one.
    func ended(_ exchange: Exchange)
}

/// What a transfer does next.
enum NextStep {
    case begin(Exchange)
    /// Nothing before this time: something is to be repeated.
    case wait(until: ContinuousClock.Instant)
    /// Nothing before one of its exchanges has moved on.
    case idle
    /// Nothing more; none of its exchanges is under way.
    case done
}

/// A transfer that a request to the store is.
protocol StoreTransfer: Transfer {
    /// What came of it; called once it is done, by the thread that waits for it.
    func conclude() throws(StoreError) -> StoreAnswer
}

/// Transfers that are to be carried out, those that have begun before others.
struct TransferQueue {
    private var waiting: ArraySlice<any Transfer>
    private var underWay: [any Transfer] = []
    /// When to ask again, if no exchange ends before.
    private(set) var wakeUp: ContinuousClock.Instant?

    init(_ transfers: [any Transfer]) { waiting = transfers[...] }

    /// The next exchange that can begin; nil: none now.
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
                // There may be no room for more until an exchange ends.
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

/// A transfer of a single exchange.
final class OneExchange: Transfer {
    private let exchange: Exchange
    private var state = State.fresh

    private enum State { case fresh, underWay, ended }

    init(_ request: HTTPRequest, placing: Exchange.Placing? = nil) {
        exchange = Exchange(request, placing: placing)
    }

    func next() -> NextStep {
        switch state {
        case .fresh:
            state = .underWay
            return .begin(exchange)
        case .underWay: return .idle
        case .ended: return .done
        }
    }

    func ended(_ exchange: Exchange) { state = .ended }

    /// The answer, or why there is none.
    func answer() throws(StoreError) -> HTTPAnswer { try exchange.result() }
}

/// A request to the store that is one exchange.
final class PlainTransfer: StoreTransfer {
    private let request: StoreRequest
    private let store: S3Store
    private let exchange: OneExchange

    init(_ request: StoreRequest, at store: S3Store) {
        self.request = request
        self.store = store
        let http = store.httpRequest(request)
        if case .get(_, .nowhere) = request {
            exchange = OneExchange(http) { _ in DownloadSink(.nowhere, .onTheWay) }
        } else {
            exchange = OneExchange(http)
        }
    }

    func next() -> NextStep { exchange.next() }

    func ended(_ exchange: Exchange) { self.exchange.ended(exchange) }

    func conclude() throws(StoreError) -> StoreAnswer {
        let http = try exchange.answer()
        let answer = try store.classification.answer(to: request, http)
        if case .stored(let etag?) = answer { try store.compare(etag, with: http, of: request.key) }
        return answer
    }
}
