import Synchronization

/// An admitted store that detects when its backend is replaced: an answer from unknown server
/// software makes the next write wait for a probe. Reads continue, since digests verify them.
///
/// Every answer is compared and no additional request is made, so a process that serves a single
/// request notices a replacement, and so does one that outlives an upgrade.
final class AdmittedStore: ObjectStore {
    private let admitter: Admitter
    private let pause: Duration
    private let onChange: @Sendable (Admission.Change) -> Void
    private let state: Mutex<State>
    /// Held by the thread that probes, while other writers wait.
    private let turn = Mutex(())

    private struct State {
        var store: any ObjectStore
        var known: ServerNames
        /// The error of a failed probe, and the time until which the probe is not repeated.
        var refusal: (error: StoreError, until: ContinuousClock.Instant)?
    }

    init(
        _ verdict: Admitter.Verdict, by admitter: Admitter, pause: Duration,
        _ onChange: @escaping @Sendable (Admission.Change) -> Void
    ) {
        self.admitter = admitter
        self.pause = pause
        self.onChange = onChange
        state = Mutex(State(store: verdict.store, known: verdict.report.servers))
    }

    private var current: any ObjectStore { state.withLock { $0.store } }

    var location: String { current.location }
    var retryPolicy: RetryPolicy { current.retryPolicy }
    var checksBodies: Bool { current.checksBodies }
    var dialect: Dialect { current.dialect }
    var servers: ServerNames { current.servers }

    func speaking(_ dialect: Dialect) -> (any ObjectStore)? { current.speaking(dialect) }

    func list(prefix: String, startingAfter: String?) throws(StoreError) -> [ListedObject] {
        try current.list(prefix: prefix, startingAfter: startingAfter)
    }

    func perform(_ requests: [StoreRequest]) -> [Result<StoreAnswer, StoreError>] {
        guard requests.contains(where: \.isWrite) else { return current.perform(requests) }
        do throws(StoreError) {
            return try admitted().perform(requests)
        } catch {
            return requests.map { request in
                request.isWrite
                    ? .failure(error)
                    : current.perform([request]).first
                        ?? .failure(.nonConforming(.init(request), reason: "no result"))
            }
        }
    }

    /// Returns the store once all server software that has answered is admitted.
    private func admitted() throws(StoreError) -> any ObjectStore {
        if let store = admittedAlready() { return store }
        let result = turn.withLock { _ in
            Result { () throws(StoreError) in
                // Another writer may have probed it in the meantime.
                if let store = admittedAlready() { return store }
                if let refusal = state.withLock({ $0.refusal }), refusal.until > .now {
                    throw refusal.error
                }
                return try admitAgain()
            }
        }
        return try result.get()
    }

    private func admittedAlready() -> (any ObjectStore)? {
        state.withLock { state in state.known.cover(state.store.servers) ? state.store : nil }
    }

    private func admitAgain() throws(StoreError) -> any ObjectStore {
        let (seen, known, hasFailed) = state.withLock { state in
            (state.store.servers, state.known, state.refusal != nil)
        }
        let unknown = seen.subtracting(known)
        onChange(.unknownServer(unknown))
        let verdict: Admitter.Verdict
        do {
            verdict = try admitter.verdict(on: seen)
        } catch {
            let reason = "its answers have an unknown Server header (\(unknown)). "
            let refusal = StoreError.notAdmitted(reason: reason + "\(error)")
            state.withLock { $0.refusal = (refusal, .now + pause) }
            onChange(.failed(reason: "\(error)"))
            throw refusal
        }
        state.withLock { state in
            state.store = verdict.store
            state.known = verdict.report.servers
            // Behind a load balancer a server that answers rarely may have missed this probe, and
            // must not cause another one. After a failure, however, each one must pass.
            if !hasFailed { state.known = state.known.union(seen) }
            state.refusal = nil
        }
        if verdict.source == .probe { onChange(.passed(verdict.report)) }
        return verdict.store
    }
}

extension StoreRequest {
    fileprivate var isWrite: Bool {
        if case .put = self { true } else { false }
    }
}
