package import Bytes
import Git
import Glibc
package import Hydration
package import Logging
package import ObjectStore
import Posix
import Repository

/// The verification of uploads: published objects are read back from the store once, and their
/// SHA-256 is compared with their names, on a thread of its own, at low priority, one object after
/// the other. Nobody waits for it, and nothing depends on it.
///
/// It repairs nothing. It logs damage while a good copy is likely to exist: in the cache of this
/// machine, or with the client that pushed.
package final class UploadVerifier: @unchecked Sendable {
    private let store: any ObjectStore
    private let state: String
    private let log: Logger
    private let retries: RetryPolicy
    private let longestLine: Int

    // The following is read and written only with the monitor's lock held.
    private let monitor = Monitor()
    private var line: [Upload] = []
    /// The upload that is being verified.
    private var current: Upload?
    /// Whether the thread exists. It ends when the line is empty.
    private var isRunning = false
    private var isStopped = false
    /// The number of uploads that were dropped because of the stop.
    private var abandoned = 0

    /// An object that was stored, and the repository that needs it.
    private struct Upload: Hashable {
        let repository: RepositoryName
        let key: ObjectKey
        let digest: Digest
        let kind: GoodCopies.Kind

        var metadata: Logger.Metadata {
            ["repo.name": "\(repository)", "object.key": "\(key)"]
        }
    }

    /// The maximum number of waiting uploads. Further ones are not verified.
    package static let defaultBound = 1000

    /// The time that a stop waits for the object that is being read.
    private static let patience = Duration.seconds(3)

    /// - Parameters:
    ///   - hydration: has the store, and the state directory whose cache may have good copies.
    ///   - retries: when an object is read again after the store did not answer; the store's own
    ///     retries come first.
    ///   - bound: the maximum number of waiting uploads.
    package init(
        _ hydration: Hydration, log: Logger,
        retries: RetryPolicy = RetryPolicy(attempts: 5, base: .seconds(10), ceiling: .seconds(120)),
        bound: Int = defaultBound
    ) {
        store = hydration.store
        state = hydration.state.path
        self.log = log
        self.retries = retries
        longestLine = bound
    }

    /// Queues a published state and the pack that was stored for it; nil if there was none. Returns
    /// at once.
    package func published(_ manifest: Digest, pack: Digest?, to repository: RepositoryName) {
        if let pack {
            take(Upload(repository: repository, key: .pack(pack), digest: pack, kind: .pack))
        }
        take(
            Upload(
                repository: repository, key: .manifest(manifest), digest: manifest,
                kind: .manifest))
    }

    private func take(_ upload: Upload) {
        let message: Logger.Message? = monitor.locked {
            if isStopped { return "upload not verified: the server is stopping" }
            // Pushes that shared a swap have the same manifest.
            if line.contains(upload) || current == upload { return nil }
            if line.count >= longestLine { return "upload not verified: too many are waiting" }
            line.append(upload)
            if !isRunning { start() }
            return nil
        }
        if let message { log.warning(message, metadata: upload.metadata) }
    }

    /// Drops the waiting uploads, accepts no more, and logs how many were dropped.
    package func stop() {
        let unverified = monitor.locked {
            isStopped = true
            abandoned += line.count
            line.removeAll()
            monitor.notify()
            _ = monitor.wait(atMost: Self.patience) { current == nil }
            return abandoned + (current == nil ? 0 : 1)
        }
        if unverified == 0 { return }
        log.warning(
            "uploads left unverified at shutdown", metadata: ["uploads.count": "\(unverified)"])
    }

    private func start() {
        isRunning = true
        do {
            _ = try Thread { [self] in
                // On Linux this affects only this thread. setpriority(2).
                setpriority(
                    __priority_which_t(PRIO_PROCESS.rawValue), 0, GitRun.Priority.low.rawValue)
                while let upload = next() { verify(upload) }
            }
        } catch {
            isRunning = false
            abandoned += line.count
            line.removeAll()
            log.warning("could not verify uploads", metadata: ["error": "\(error)"])
        }
    }

    /// Takes the next upload; nil to end the thread.
    private func next() -> Upload? {
        monitor.locked {
            current = line.isEmpty ? nil : line.removeFirst()
            isRunning = current != nil
            monitor.notify()
            return current
        }
    }

    /// Pauses for as long as the store may need to recover.
    ///
    /// - Returns: false if the verifier was stopped in the meantime.
    private func pause(before repetition: Int) -> Bool {
        monitor.locked {
            !monitor.wait(atMost: retries.wait(before: repetition)) { isStopped }
        }
    }
}

// MARK: Verifying

extension UploadVerifier {
    private func verify(_ upload: Upload) {
        FaultPoint.reach(.uploadVerified)
        var failures = 0
        /// The result of the last read. Damage counts only if a second read also finds it, because
        /// a read can be damaged on its way, too.
        var suspicion: RepairFinding.Fault?
        while true {
            do {
                guard let fault = try store.condition(of: upload.key, upload.digest).fault else {
                    return log.debug("upload verified", metadata: upload.metadata)
                }
                if suspicion != nil { return tell(fault, upload) }
                suspicion = fault
            } catch {
                failures += 1
                guard error.isTransient, failures < retries.attempts else {
                    return log.warning(
                        "could not verify an upload",
                        metadata: upload.metadata.merging(["error": "\(error)"]) { $1 })
                }
                guard pause(before: failures) else {
                    return monitor.locked { abandoned += 1 }
                }
            }
        }
    }

    private func tell(_ fault: RepairFinding.Fault, _ upload: Upload) {
        let command = "git-s3-backend repair \(upload.repository)"
        // The command contains the path, since the operator may use another state directory.
        let remedy =
            GoodCopies.isCached(upload.digest, upload.kind, in: state)
            ? "A good copy is cached here. Run '\(command) --from \(state)'."
            : "No good copy is cached here, but the pusher has the objects. '\(command)' reports "
                + "what helps."
        log.error(
            "stored object is damaged",
            metadata: upload.metadata.merging([
                "error": "\(fault)", "remedy": "\(remedy)",
            ]) { $1 })
    }
}
