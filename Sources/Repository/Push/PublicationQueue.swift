package import ObjectStore
import Posix

/// The pushes of this process that are ready to be published to one repository. Those that are
/// ready together share one swap.
///
/// The thread of one of them leads: it works for all who wait, until its own push is settled, and
/// hands over. A push that finds nobody there goes ahead at once.
package final class PublicationQueue: @unchecked Sendable {
    let repository: RepositoryName
    let manifests: Manifests

    // All of these are used with the monitor's lock held; a leader works on a copy of `swap`, and
    // there is one leader at a time.
    private let monitor = Monitor()
    private var swap: SharedSwap
    private var waiting: [(ticket: Int, candidate: PublicationCandidate)] = []
    private var settled: [Int: PublicationCandidate.Settlement] = [:]
    private var isLed = false
    private var tickets = 0

    package init(of repository: RepositoryName, in manifests: Manifests) {
        self.repository = repository
        self.manifests = manifests
        swap = SharedSwap(of: repository, in: manifests)
    }

    /// Pushes that are not settled yet.
    var count: Int { monitor.locked { waiting.count } }

    /// Whether a push that was received on `parent` could go ahead at once, as far as this process
    /// knows.
    func isFree(for parent: Base) -> Bool {
        monitor.locked {
            guard !isLed, waiting.isEmpty else { return false }
            guard let chain = swap.chain else { return true }
            return chain.tip.digest == parent.digest || !chain.includes(parent.digest)
        }
    }

    /// Publishes a candidate, or finds out that it cannot be.
    func settle(_ candidate: PublicationCandidate) -> PublicationCandidate.Settlement {
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
    /// - Returns: nil: the caller leads now.
    private func waitOrLead(_ ticket: Int) -> PublicationCandidate.Settlement? {
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
                var rest: [(Int, PublicationCandidate)] = []
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
