import Glibc
package import Posix

/// A program of the system, run to its end with an environment of its own.
package struct Tool: Sendable {
    /// The executable.
    package let path: String
    private let environment: [String]

    /// What a program that has ended left behind.
    package struct Run: Sendable, CustomStringConvertible {
        package let ending: ChildProcess.Ending
        package let output: [UInt8]
        package let errors: String

        /// Standard output as text, without the newline at its end.
        package var text: String {
            let text = String(decoding: output, as: UTF8.self)
            return text.hasSuffix("\n") ? String(text.dropLast()) : text
        }

        package var description: String { "\(ending): \(text.prefix(2000)) \(errors.prefix(2000))" }
    }

    /// Why a program did not do what the test needs.
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    /// Finds a program on `$PATH`.
    package init(_ name: String, environment: [String] = []) throws {
        let inherited = getenv("PATH").map { String(cString: $0) }
        let directories = inherited ?? "/usr/bin:/bin"
        let found = directories.split(separator: ":").map { String($0) + "/" + name }
            .first { access($0, X_OK) == 0 }
        guard let found else { throw Failure(description: "'\(name)' is not installed") }
        path = found
        self.environment = ["PATH=\(directories)", "LC_ALL=C.UTF-8"] + environment
    }

    /// The installed git, with no configuration but what makes commits possible and the same each
    /// time.
    package static func git() throws -> Tool {
        let date = "1700000000 +0000"
        return try Tool(
            "git",
            environment: [
                "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "HOME=/nonexistent",
                "GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_AUTHOR_DATE=\(date)",
                "GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@example.com",
                "GIT_COMMITTER_DATE=\(date)",
            ])
    }

    /// Runs the program, whatever its exit status.
    package func attempt(
        _ arguments: [String], in directory: String? = nil, input: [UInt8] = [],
        channel: Int32? = nil
    ) throws -> Run {
        let scratch = try ScratchDirectory()
        try Files.write(input, to: scratch.path + "/in")
        let reading = try OwnedDescriptor.open(scratch.path + "/in", O_RDONLY)
        let output = try OwnedDescriptor.open(scratch.path + "/out", O_WRONLY | O_CREAT)
        let errors = try OwnedDescriptor.open(scratch.path + "/err", O_WRONLY | O_CREAT)
        let child = try ChildProcess(
            ChildProcess.Launch(
                path: path, arguments: arguments, environment: environment, directory: directory,
                input: reading.raw, output: output.raw, error: errors.raw, channel: channel))
        return Run(
            ending: try child.wait(), output: try Files.read(scratch.path + "/out"),
            errors: String(decoding: try Files.read(scratch.path + "/err"), as: UTF8.self))
    }

    /// Runs the program, which must succeed.
    @discardableResult
    package func run(
        _ arguments: [String], in directory: String? = nil, input: [UInt8] = []
    ) throws -> Run {
        let run = try attempt(arguments, in: directory, input: input)
        guard run.ending == .exited(0) else {
            throw Failure(description: "'\(arguments.joined(separator: " "))' ended with \(run)")
        }
        return run
    }
}
