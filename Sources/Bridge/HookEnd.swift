import Glibc
import Posix

/// The pre-receive hook: asks the server, and refuses the push unless the server allows it.
package enum HookEnd {
    /// Runs the hook.
    ///
    /// - Returns: the exit status; anything but 0 makes git refuse the whole push.
    package static func run() -> Int32 {
        signal(SIGPIPE, SIG_IGN)
        do {
            let updates = try Files.readToEnd(
                STDIN_FILENO, limit: BridgeChannel.maximumLength, subject: "standard input")
            let channel = BridgeChannel(OwnedDescriptor(taking: BridgeChannel.hookDescriptor))
            try channel.send(BridgeChannel.Word(.question, updates))
            guard let answer = try channel.receive() else {
                return refuse("the server gave no answer about this push")
            }
            try writeAll(STDERR_FILENO, answer.bytes)
            return answer.kind == .allow ? 0 : 1
        } catch {
            return refuse("the server could not be asked about this push (\(error))")
        }
    }

    private static func refuse(_ reason: String) -> Int32 {
        // If nobody reads the message, the exit status still refuses the push.
        try? writeAll(STDERR_FILENO, Array("git-s3-backend: \(reason)\n".utf8))
        return 1
    }
}
