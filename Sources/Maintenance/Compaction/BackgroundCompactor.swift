package import Repository
import Glibc
package import Logging
package import ObjectStore
import Posix

/// Compacts repositories on a thread of its own, one after the other, once pushes have left them
/// with more packs than a threshold. Nobody waits for it, and nothing depends on it.
package final class BackgroundCompactor: @unchecked Sendable {
    private let hydration: Hydration
    private let threshold: Int
    /// nil: what is published is not verified.
    private let verifier: UploadVerifier?
    private let log: Logger
    private let cancellation = Cancellation()

    // What follows is read and written with the monitor's lock held.
    private let monitor = Monitor()
    /// The first one is being compacted.
    private var line: [RepositoryName] = []
    /// Whether the thread is there. It is not gone as soon as the line is empty.
    private var isRunning = false
    private var resting: [RepositoryName: Rest] = [:]

    /// Repositories in line at most; those that come then have their turn after a later push.
    private static let longestLine = 1000

    /// How long a stop waits for the thread. What it cannot interrupt is a transfer, which publishes
    /// nothing by itself.
    private static let patience = Duration.seconds(3)

    /// - Parameter threshold: packs that a repository may have; zero: any number, nothing is
    ///   compacted.
    package init(
        _ hydration: Hydration, threshold: Int, verifier: UploadVerifier? = nil, log: Logger
    ) {
        self.hydration = hydration
        self.threshold = threshold
        self.verifier = verifier
        self.log = log
    }

    /// After a failure, or where there was nothing to do: pushes start nothing for a while.
    private struct Rest {
        var times = 0
        var end = ContinuousClock.now

        mutating func extend() {
            times += 1
            end = .now + .seconds(60) * (1 << min(times - 1, 6))
        }
    }

    /// Takes note of a published push. Returns at once.
    ///
    /// - Parameters:
    ///   - packs: what the repository has now.
    ///   - before: what the state had that this one was published on.
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

    /// Whether what takes a repository from one number of packs to another starts a compaction:
    /// the push that exceeds the threshold, and if nothing came of it, one every so many later. Of
    /// all responders one passes a number, so only one of them starts.
    static func isDue(packs: Int, before: Int, threshold: Int) -> Bool {
        guard threshold > 0, packs > threshold else { return false }
        let step = max(threshold / 5, 1)
        let steps = (max(before - threshold, 0) + step - 1) / step
        return threshold + 1 + steps * step <= packs
    }

    /// Ends what runs, and takes nothing more.
    package func stop() {
        cancellation.cancel()
        monitor.locked { _ = monitor.wait(atMost: Self.patience) { line.isEmpty } }
    }

    private func start() {
        isRunning = true
        do {
            _ = try Thread { [self] in
                // On Linux of this thread alone; children have it from there. setpriority(2).
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

    /// What is to be done next; nil: nothing, and the thread ends.
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
