import Git
import Glibc
package import Hydration
package import Logging
package import ObjectStore
import Posix

/// Compacts repositories on a thread of its own, one after the other, after pushes have left them
/// with more packs than a threshold. Nobody waits for it, and nothing depends on it.
package final class BackgroundCompactor: @unchecked Sendable {
    private let hydration: Hydration
    private let threshold: Int
    /// nil if published packs are not verified.
    private let verifier: UploadVerifier?
    private let log: Logger
    private let cancellation = Cancellation()

    // The properties below are used only with the monitor's lock held.
    private let monitor = Monitor()
    /// The first one is being compacted.
    private var line: [RepositoryName] = []
    /// Whether the thread runs. It goes on for a moment after the queue is empty.
    private var isRunning = false
    private var resting: [RepositoryName: Rest] = [:]

    /// The largest number of queued repositories; others are queued again by a later push.
    private static let longestLine = 1000

    /// The longest wait for the thread when stopping. It cannot interrupt a transfer, which
    /// does not publish anything.
    private static let patience = Duration.seconds(3)

    /// - Parameter threshold: the number of packs above which a repository is compacted; zero disables
    ///   compaction.
    package init(
        _ hydration: Hydration, threshold: Int, verifier: UploadVerifier? = nil, log: Logger
    ) {
        self.hydration = hydration
        self.threshold = threshold
        self.verifier = verifier
        self.log = log
    }

    /// The pause after a failure, or if there was nothing to do.
    private struct Rest {
        var times = 0
        var end = ContinuousClock.now

        mutating func extend() {
            times += 1
            end = .now + .seconds(60) * (1 << min(times - 1, 6))
        }
    }

    /// Records a published push. Returns at once.
    ///
    /// - Parameters:
    ///   - packs: the repository's current number of packs.
    ///   - before: the number of packs of the state before the push.
    package func pushed(to repository: RepositoryName, packs: Int, before: Int) {
        guard Self.isDue(packs: packs, before: before, threshold: threshold) else { return }
        monitor.locked {
            guard !cancellation.isWanted, !line.contains(repository),
                line.count < Self.longestLine,
                resting[repository].map({ $0.end <= .now }) ?? true
            else { return }
            line.append(repository)
            if !isRunning { start() }
        }
    }

    /// Whether a push that changes the number of packs starts a compaction: the push that exceeds
    /// the threshold, and if that failed, one in every few later ones. Only one of all instances
    /// sees a given number, so only one of them starts.
    static func isDue(packs: Int, before: Int, threshold: Int) -> Bool {
        guard threshold > 0, packs > threshold else { return false }
        let step = max(threshold / 5, 1)
        let steps = (max(before - threshold, 0) + step - 1) / step
        return threshold + 1 + steps * step <= packs
    }

    /// Ends the running compaction, and accepts no more repositories.
    package func stop() {
        cancellation.cancel()
        monitor.locked { _ = monitor.wait(atMost: Self.patience) { line.isEmpty } }
    }

    private func start() {
        isRunning = true
        do {
            _ = try Thread { [self] in
                // On Linux this applies to the thread alone; its children inherit it.
                // setpriority(2).
                setpriority(
                    __priority_which_t(PRIO_PROCESS.rawValue), 0, GitRun.Priority.low.rawValue)
                while let repository = next() { compact(repository) }
            }
        } catch {
            isRunning = false
            line.removeAll()
            log.warning("compaction failed", metadata: ["error": "\(error)"])
        }
    }

    /// The next repository; nil if the queue is empty and the thread ends.
    private func next() -> RepositoryName? {
        monitor.locked {
            isRunning = !line.isEmpty
            return line.first
        }
    }

    private func compact(_ repository: RepositoryName) {
        var log = log
        log[metadataKey: "repo.name"] = "\(repository)"
        log.info("compaction started")
        let isDone: Bool
        do {
            let outcome = try Compaction(
                of: repository, with: hydration, cancellation: cancellation
            ).run(log: log)
            if case .compacted(let result) = outcome {
                verifier?.published(result.digest, pack: result.pack, to: repository)
            }
            isDone = report(outcome, to: log)
        } catch is Cancellation.Cancelled {
            log.info("compaction stopped")
            isDone = true
        } catch {
            log.warning("compaction failed", metadata: ["error": "\(error)"])
            isDone = false
        }
        monitor.locked {
            if isDone {
                resting[repository] = nil
            } else {
                resting[repository, default: Rest()].extend()
            }
            if cancellation.isWanted { line.removeAll() } else { line.removeFirst() }
            monitor.notify()
        }
    }

    /// - Returns: whether the next push that is due may start another one at once.
    private func report(_ outcome: Compaction.Outcome, to log: Logger) -> Bool {
        switch outcome {
        case .compacted(let result):
            log.notice(
                "compaction published",
                metadata: [
                    "manifest.digest": "\(result.digest)",
                    "packs.before": "\(result.packsBefore)",
                    "packs.after": "\(result.packsAfter)",
                    "pack.objects": "\(result.objects)", "pack.bytes": "\(result.bytes)",
                ])
            return true
        case .gaveWay:
            log.info("compaction abandoned: repository kept changing")
            return true
        case .madeSidecars:
            log.info("bitmap and commit graph written")
            return true
        case .nothingToDo, .notThere:
            log.info("nothing to compact")
            return false
        }
    }
}
