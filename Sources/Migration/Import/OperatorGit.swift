import Repository
import Glibc
import Posix

/// git run for an operator's command: in a workspace, or on a repository elsewhere, of which the
/// data is read but nothing is obeyed.
///
/// A foreign repository is named by `GIT_DIR`, so that who owns it does not matter and none is
/// looked for above it. Its configuration can redirect nothing: hooks and the file system monitor
/// are pinned, and no transport may start, which a partial clone's missing object would do.
struct OperatorGit: Sendable {
    let program: GitProgram
    let progress: Progress

    /// What a command works on.
    enum Subject {
        /// The workspace that it runs in.
        case workspace
        /// A repository that is only read, by its git directory; it may have a work tree.
        case source(String)
        /// A bare repository that is written, and synced to disk as git does by default.
        case target(String)
    }

    /// What git left behind.
    struct Outcome {
        let output: [UInt8]
        /// What it said on standard error, but for progress; the end of it.
        let errors: String
        let ending: ChildProcess.Ending

        var succeeded: Bool { ending == .exited(0) }

        /// Why it failed, in git's words.
        var reason: String { errors.isEmpty ? "\(ending)" : errors }

        /// The lines of its output.
        var lines: [String] {
            String(decoding: output, as: UTF8.self).split(separator: "\n").map(String.init)
        }
    }

    /// Bytes. The refs of a repository are the most that git is asked for.
    private static let outputLimit = 1 << 30

    /// Runs git to its end, whatever that is.
    ///
    /// - Parameters:
    ///   - input: the file that is its standard input.
    ///   - title: what is shown of it where git tells its progress; nil: it tells none.
    func run(
        _ arguments: [String], on subject: Subject = .workspace,
        in workspace: borrowing Workspace, input: String? = nil, title: String? = nil,
        step: String
    ) throws -> Outcome {
        do {
            let feed = try OwnedDescriptor.open(input ?? "/dev/null", O_RDONLY)
            let output = try OwnedDescriptor.pipe()
            let errors = try OwnedDescriptor.pipe()
            let child = try ChildProcess(
                launch(
                    arguments, subject, workspace, input: feed.raw, output: output.second.raw,
                    error: errors.second.raw))
            let said = output.keepingFirst()
            let told = errors.keepingFirst()
            var listener = ProgressListener(progress: progress, title: title)
            let bytes = try Self.relay(said.raw, told.raw, to: &listener)
            let ending = try child.wait()
            return Outcome(output: bytes, errors: listener.finish(), ending: ending)
        } catch {
            throw error
        }
    }

    /// Runs git, which must succeed.
    ///
    /// - Throws: ``GitError/failed(step:reason:)`` where it does not.
    func output(
        _ arguments: [String], on subject: Subject = .workspace,
        in workspace: borrowing Workspace, input: String? = nil, step: String
    ) throws -> Outcome {
        let outcome = try run(arguments, on: subject, in: workspace, input: input, step: step)
        guard outcome.succeeded else { throw GitError.failed(step: step, reason: outcome.reason) }
        return outcome
    }

    private func launch(
        _ arguments: [String], _ subject: Subject, _ workspace: borrowing Workspace, input: Int32,
        output: Int32, error: Int32
    ) -> ChildProcess.Launch {
        var settings = ["core.fsmonitor=false", "core.commitGraph=false"]
        var environment = ["GIT_ALLOW_PROTOCOL=none", "GIT_NO_LAZY_FETCH=1"]
        switch subject {
        case .workspace: break
        case .source(let directory):
            // A work tree that its configuration names may be gone; none is needed.
            environment += ["GIT_DIR=\(directory)", "GIT_WORK_TREE=\(workspace.path)"]
        case .target(let directory):
            environment.append("GIT_DIR=\(directory)")
            settings.append("core.fsync=committed")
        }
        var launch = program.launch(
            settings.flatMap { ["-c", $0] } + arguments, in: workspace, input: input,
            output: output, error: error)
        launch.environment += environment
        return launch
    }

    /// Reads both of git's outputs to their ends.
    private static func relay(
        _ output: Int32, _ errors: Int32, to listener: inout ProgressListener
    ) throws(SystemError) -> [UInt8] {
        var bytes: [UInt8] = []
        var open = [output, errors]
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while !open.isEmpty {
            var polled = open.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            try check("poll") { poll(&polled, nfds_t(polled.count), -1) }
            for entry in polled where entry.revents != 0 {
                let count = try buffer.withMutableBytes { (space) throws(SystemError) in
                    try readSome(entry.fd, into: space)
                }
                if count == 0 {
                    open.removeAll { $0 == entry.fd }
                } else if entry.fd == output {
                    bytes += buffer[..<count]
                    if bytes.count > outputLimit {
                        throw SystemError("read", "git's output", code: EFBIG)
                    }
                } else {
                    listener.take(buffer[..<count])
                }
            }
        }
        return bytes
    }
}

/// Parts git's progress from what it has to say: a line that ends in a carriage return is to be
/// written over.
private struct ProgressListener {
    let progress: Progress
    let title: String?
    private var line: [UInt8] = []
    private var lines: [String] = []
    private var isOverwritten = false

    /// Lines kept of a git that complains at length.
    private static let limit = 5

    init(progress: Progress, title: String?) {
        self.progress = progress
        self.title = title
    }

    mutating func take(_ bytes: ArraySlice<UInt8>) {
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\r"): end(isProgress: true)
            // The last line of a piece of progress ends like any other.
            case UInt8(ascii: "\n"): end(isProgress: isOverwritten || line.ends(", done."))
            default: if line.count < 4096 { line.append(byte) }
            }
        }
    }

    private mutating func end(isProgress: Bool) {
        let text = String(decoding: line, as: UTF8.self)
        isOverwritten = isProgress && !line.ends(", done.")
        line = []
        if text.isEmpty { return }
        if isProgress, title != nil {
            progress.count("\(title ?? ""): \(text)")
        } else {
            lines = (lines + [text]).suffix(Self.limit)
        }
    }

    /// What was said, in one line.
    mutating func finish() -> String {
        end(isProgress: false)
        return lines.joined(separator: "; ")
    }
}

extension [UInt8] {
    fileprivate func ends(_ suffix: String) -> Bool {
        self.suffix(suffix.utf8.count).elementsEqual(suffix.utf8)
    }
}
