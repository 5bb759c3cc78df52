/// A line in which clients wait in turn, and the requests of one client in their order, so that many
/// requests of one client do not keep others waiting.
///
/// Those that return because they had lent their slot are served first.
struct FairLine {
    /// A place in the line.
    struct Ticket: Hashable {
        fileprivate let number: Int
        fileprivate let client: String?

        /// Whether it returns after it had lent its slot.
        var isReturning: Bool { client == nil }
    }

    private var last = 0
    private var returning: [Ticket] = []
    /// The waiting requests of each client; none is empty.
    private var waiting: [String: [Ticket]] = [:]
    /// The clients that have waiting requests, in the order of their turns.
    private var turns: [String] = []

    /// The number of waiting requests.
    private(set) var count = 0

    /// Adds a request.
    ///
    /// - Parameter client: the client that sent it; nil for a request that returns.
    mutating func join(_ client: String?) -> Ticket {
        last += 1
        count += 1
        let ticket = Ticket(number: last, client: client)
        guard let client else {
            returning.append(ticket)
            return ticket
        }
        if waiting[client] == nil { turns.append(client) }
        waiting[client, default: []].append(ticket)
        return ticket
    }

    /// Removes the request whose turn it is; nil if there is none.
    ///
    /// - Parameter onlyReturning: whether only requests that return are served.
    mutating func next(onlyReturning: Bool) -> Ticket? {
        if let ticket = returning.first {
            returning.removeFirst()
            count -= 1
            return ticket
        }
        guard !onlyReturning, let client = turns.first, let ticket = waiting[client]?.first else {
            return nil
        }
        turns.removeFirst()
        remove(ticket, of: client)
        if waiting[client] != nil { turns.append(client) }
        return ticket
    }

    /// Removes a request that no longer waits.
    ///
    /// - Returns: whether it was still waiting.
    mutating func leave(_ ticket: Ticket) -> Bool {
        guard let client = ticket.client else {
            guard let index = returning.firstIndex(of: ticket) else { return false }
            returning.remove(at: index)
            count -= 1
            return true
        }
        guard waiting[client]?.contains(ticket) == true else { return false }
        remove(ticket, of: client)
        if waiting[client] == nil { turns.removeAll { $0 == client } }
        return true
    }

    private mutating func remove(_ ticket: Ticket, of client: String) {
        waiting[client]?.removeAll { $0 == ticket }
        if waiting[client]?.isEmpty == true { waiting[client] = nil }
        count -= 1
    }
}
