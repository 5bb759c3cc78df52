package import ObjectStore
import Posix
package import Repository
import Synchronization

/// The pushes of this process that are ready to be published to one repository. Those that are
/// ready together share one swap.
///
/// The thread of one of them leads: it works for all waiting pushes until its own is settled, and
/// hands over. A push that finds the queue empty is published at once.
package final class PublicationQueue: @unchecked Sendable {
    let repository: RepositoryName
    let manifests: Manifests

    // All of these are used with the monitor's lock held. The one leader works on a copy of `swap`.
    private let monitor = Monitor()
    private var swap: SharedSwap
    private var waiting: [(ticket: Int, candidate: Candidate)] = []
    private var settled: [Int: Candidate.Settlement] = [:]
    private var isLed = false
    private var tickets = 0

    package init(of repository: RepositoryName, in manifests: Manifests) {
        self.repository = repository
        self.manifests = manifests
        swap = SharedSwap(of: repository, in: manifests)
    }

    /// Pushes that are not settled yet.
    var count: Int { monitor.locked { waiting.count } }

    /// Whether a push that was received on `parent` could be published at once, as far as this process
    /// knows.
    func isFree(for parent: Base) -> Bool {
        monitor.locked {
            guard !isLed, waiting.isEmpty else { return false }
            guard let chain = swap.chain else { return true }
            return chain.tip.digest == parent.digest || !chain.includes(parent.digest)
        }
    }

    /// Publishes a candidate, or detects that this is impossible.
    func settle(_ candidate: Candidate) -> Candidate.Settlement {
        let ticket = monitor.locked {
            tickets += 1
            waiting.append((tickets, candidate))
            return tickets
        }
        while true {
            if let settlement = waitOrLead(ticket) { return settlement }
            lead(until: ticket)
        }
    }

    /// Waits until a push is settled, or nobody leads.
    ///
    /// - Returns: nil if the caller leads now.
    private func waitOrLead(_ ticket: Int) -> Candidate.Settlement? {
        monitor.locked {
            while !monitor.wait(atMost: .seconds(60), until: { settled[ticket] != nil || !isLed }) {
            }
            if let settlement = settled.removeValue(forKey: ticket) { return settlement }
            isLed = true
            return nil
        }
    }

    private func lead(until ticket: Int) {
        var isSettled = false
        while !isSettled {
            monitor.locked { swap }.pause()
            let (candidates, state) = monitor.locked { (waiting, swap) }
            var next = state
            let outcomes = next.round(candidates.map(\.candidate))
            monitor.locked {
                swap = next
                var rest: [(Int, Candidate)] = []
                for ((ticket, _), outcome) in zip(candidates, outcomes) {
                    switch outcome {
                    case .waiting(let candidate): rest.append((ticket, candidate))
                    case .settled(let settlement): settled[ticket] = settlement
                    }
                }
                waiting = rest + waiting.dropFirst(candidates.count)
                isSettled = settled[ticket] != nil
                if isSettled { isLed = false }
                monitor.notify()
            }
        }
    }
}

/// The publication queues of this process, one for each repository that is being pushed to.
package final class PublicationQueues: Sendable {
    private let manifests: Manifests
    private let entries = Mutex<[RepositoryName: Entry]>([:])

    /// A queue lives as long as a push holds it.
    private struct Entry: Sendable {
        weak var queue: PublicationQueue?
    }

    package init(in manifests: Manifests) {
        self.manifests = manifests
    }

    /// The queue of a repository. A push takes it before it is received, so that the queue has seen
    /// the states that others publish in the meantime.
    package func queue(of repository: RepositoryName) -> PublicationQueue {
        entries.withLock { entries in
            if let queue = entries[repository]?.queue { return queue }
            entries = entries.filter { $0.value.queue != nil }
            let queue = PublicationQueue(of: repository, in: manifests)
            entries[repository] = Entry(queue: queue)
            return queue
        }
    }
}
