import Glibc
package import Posix

/// Runs git for work that nobody waits for: at low priority, in bounded memory, and so that it can
/// be ended at any time.
package struct QuietGit: Sendable {
    let git: GitProgram
    package let cancellation: Cancellation

    package init(git: GitProgram, cancellation: Cancellation) {
        self.git = git
        self.cancellation = cancellation
    }

    /// git's priority value; that of what answers requests is 0, as a rule. setpriority(2).
    package static let niceness: Int32 = 10

    /// One thread, and bounds on what packing keeps in memory, whatever the objects' sizes.
    /// git-config(1). The rest is pinned because it is relied on: what is derived of a pack is
    /// written by this code alone, and is not used to make more of it.
    private static let configuration = [
        "core.commitGraph=false",
        "core.multiPackIndex=true",
        "pack.threads=1",
        "pack.windowMemory=64m",
        "pack.deltaCacheSize=32m",
        "pack.packSizeLimit=0",
        "pack.writeReverseIndex=false",
        "pack.writeBitmapHashCache=false",
        "pack.writeBitmapLookupTable=false",
    ]

    /// Milliseconds between two looks at whether it is to end.
    private static let interval: Int32 = 200

    /// Runs a command in a workspace to its end.
    ///
    /// - Parameters:
    ///   - configuration: more of it, `name=value`.
    ///   - input: its standard input.
    ///   - line: takes each line of its standard output, without the newline.
    /// - Throws: ``GitError``, also if git fails, or ``Cancellation/Cancelled``; git and its
    ///   children are gone then.
    package func run(
        _ arguments: [String], in workspace: borrowing Workspace, configuration: [String] = [],
        input: [UInt8] = [], step: String, line: (ArraySlice<UInt8>) throws -> Void = { _ in }
    ) throws {
        try cancellation.check()
        let inputFile = workspace.path + "/stdin"
        try Files.write(input, to: inputFile)
        let options = (Self.configuration + configuration).flatMap { ["-c", $0] }
        let started = try start(options + arguments, in: workspace, input: inputFile)
        let child = started.child
        setpriority(__priority_which_t(PRIO_PGRP.rawValue), id_t(child.identifier), Self.niceness)
        try readLines(from: started.reading.raw, step, line)
        let ending = try child.wait()
        guard ending == .exited(0) else {
            throw GitError.failed(step: step, reason: "\(ending): \(workspace.gitErrors())")
        }
    }

    /// A started git, and our end of its standard output.
    private struct Started: ~Copyable {
        let child: ChildProcess
        let reading: OwnedDescriptor
    }

    private func start(
        _ arguments: [String], in workspace: borrowing Workspace, input: String
    ) throws(SystemError) -> Started {
        let reading = try OwnedDescriptor.open(input, O_RDONLY)
        let errors = try workspace.openErrorFile()
        let pipe = try OwnedDescriptor.pipe()
        let child = try ChildProcess(
            git.launch(
                arguments, in: workspace, input: reading.raw, output: pipe.second.raw,
                error: errors.raw))
        return Started(child: child, reading: pipe.keepingFirst())
    }

    private func readLines(
        from descriptor: Int32, _ step: String, _ line: (ArraySlice<UInt8>) throws -> Void
    ) throws {
        var rest: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            try cancellation.check()
            var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            try check("poll") { poll(&polled, 1, Self.interval) }
            if polled.revents == 0 { continue }
            let count = try chunk.withMutableBytes { (buffer) throws(SystemError) in
                try readSome(descriptor, into: buffer)
            }
            if count == 0 { break }
            var start = 0
            for end in chunk[..<count].indices where chunk[end] == UInt8(ascii: "\n") {
                rest += chunk[start..<end]
                try line(rest[...])
                rest.removeAll(keepingCapacity: true)
                start = end + 1
            }
            rest += chunk[start..<count]
        }
        if !rest.isEmpty { try line(rest[...]) }
    }
}
