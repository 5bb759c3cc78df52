import Cache
import Gateway
import Git
import Glibc
import Hydration
import Logging
import Maintenance
import ObjectStore
import Policy
import Posix

/// The parts of the program that answer requests.
struct ServingSetup {
    let responder: Responder
    let state: StateDirectory

    /// Opens the state directory, admits the store, and finds git and the hook.
    ///
    /// - Parameters:
    ///   - compactAt: the number of packs above which a repository is compacted in the background;
    ///     nil disables that.
    ///   - verification: whether published packs are read back.
    ///   - served: the log level of a request that succeeded.
    init(
        store: any ObjectStore, statePath: String, limits: Responder.Limits,
        pushCheck: PushCheckChoice, cacheSize: Int64, compactAt: Int? = nil,
        verification: UploadVerification = .off, environment: [String: String], log: Logger,
        served: Logger.Level = .info
    ) throws {
        state = try StateDirectory(path: statePath)
        let git = try Setup.findGit(environment).checkingPushes(
            pushCheck.level, accepting: pushCheck.accepted, in: state)
        let admission = try Admission.admit(store, stateDirectory: statePath) { change in
            Self.report(change, of: store.location, to: log)
        }
        if admission.source == .probe {
            log.notice(
                "store passed the conformance probe",
                metadata: [
                    "store.location": "\(store.location)",
                    "probe.report": "\(admission.report)",
                ])
        }
        let hydration = Hydration(
            store: admission.store, cache: LocalCache(in: state.path, size: cacheSize),
            state: state, git: git, hook: try Self.hookPath())
        let verifier =
            verification.isWanted(of: admission.store, isLocal: store is FileStore)
            ? UploadVerifier(hydration, log: log) : nil
        let compactor = compactAt.map {
            BackgroundCompactor(hydration, threshold: $0, verifier: verifier, log: log)
        }
        responder = Responder(
            hydration: hydration, rule: AccessRule(), limits: limits,
            compactor: compactor, verifier: verifier, log: log, served: served)
    }

    /// Logs that the store's backend was replaced or upgraded while it is in use.
    private static func report(_ change: Admission.Change, of location: String, to log: Logger) {
        var metadata: Logger.Metadata = ["store.location": "\(location)"]
        switch change {
        case .unknownServer(let servers):
            metadata["store.server"] = "\(servers)"
            log.notice("store answered with an unknown Server: probing it", metadata: metadata)
        case .passed(let report):
            metadata["probe.report"] = "\(report)"
            log.notice("store passed the conformance probe", metadata: metadata)
        case .failed(let reason):
            metadata["error"] = "\(reason)"
            log.error("store failed the conformance probe: writes are refused", metadata: metadata)
        }
    }

    /// The path of the hook, which is installed next to this program, or in `../libexec`.
    private static func hookPath() throws -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        guard count > 0 else { throw SystemError("readlink", "/proc/self/exe") }
        let own = String(
            decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let directory = Files.parent(of: own) ?? "/"
        let candidates = [
            "\(directory)/git-s3-backend-hook", "\(directory)/../libexec/git-s3-backend-hook",
        ]
        guard let found = candidates.first(where: { access($0, F_OK) == 0 }) else {
            throw MissingProgram(
                description: "git-s3-backend-hook not found next to '\(own)'. Install both "
                    + "programs in one directory.")
        }
        return found
    }
}
