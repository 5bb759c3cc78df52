import Bytes
import Posix

/// A place at which a test build can be stopped or killed.
///
/// `GIT_S3_BACKEND_FAULT` lists `point=action`, separated by commas: `kill` sends SIGKILL to the
/// process itself, `barrier:DIR` creates a file in DIR and waits for `DIR/go`. `NAME=MILLISECONDS`
/// shortens a time limit, so that no test waits for minutes. Release builds contain none of it.
package enum FaultPoint: String, Sendable {
    case pushStarted = "push-started"
    case pushHydrated = "push-hydrated"
    case pushReceived = "push-received"
    case pushStored = "push-stored"
    case pushSwapped = "push-swapped"
    case pushAnswered = "push-answered"
    case fetchHydrated = "fetch-hydrated"
    case importPacked = "import-packed"
    case exportCreated = "export-created"
    case exportFetched = "export-fetched"
    case exportLocked = "export-locked"
    case exportReferenced = "export-referenced"
    case compactionFolded = "compaction-folded"
    case compactionStored = "compaction-stored"
    case compactionSwapped = "compaction-swapped"
    /// An upload is about to be read back.
    case uploadVerified = "upload-verified"
    /// The old name is a tombstone, and the new one does not exist yet.
    case renameTombstoned = "rename-tombstoned"

    #if FAULT_POINTS
        /// Performs the action that the environment specifies for this point.
        package static func reach(_ point: FaultPoint) {
            guard let action = actions[point.rawValue] else { return }
            if action == "kill" {
                kill(getpid(), SIGKILL)
            } else if action.hasPrefix("barrier:") {
                let directory = String(action.dropFirst("barrier:".count))
                let mark = "\(directory)/\(Hex.random(bytes: 8))"
                close(open(mark, O_CREAT | O_WRONLY | O_CLOEXEC, 0o600))
                while access("\(directory)/go", F_OK) != 0 { usleep(5_000) }
            }
        }

        /// Returns the length of a wait: `duration`, unless the environment specifies another.
        package static func patience(_ name: String, _ duration: Duration) -> Duration {
            actions[name].flatMap { Int64($0) }.map { .milliseconds($0) } ?? duration
        }

        private static let actions: [String: String] = {
            guard let list = getenv("GIT_S3_BACKEND_FAULT") else { return [:] }
            let pairs = String(cString: list).split(separator: ",").compactMap { entry in
                entry.firstIndex(of: "=").map {
                    (String(entry[..<$0]), String(entry[entry.index(after: $0)...]))
                }
            }
            return Dictionary(pairs) { first, _ in first }
        }()
    #else
        /// Nothing, in a release build.
        @inline(__always) package static func reach(_ point: FaultPoint) {}

        /// Returns `duration`, in a release build.
        @inline(__always)
        package static func patience(_ name: String, _ duration: Duration) -> Duration { duration }
    #endif
}

#if FAULT_POINTS
    import Glibc
    import Posix
#endif
