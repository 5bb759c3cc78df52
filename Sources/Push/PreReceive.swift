package import GitProtocol
import Glibc
package import Posix
import Synchronization

/// The server's end of the pre-receive bridge.
///
/// git runs our hook, which writes its input to the channel, and the answer there decides. Nothing is
/// received without an explicit permission.
package protocol PreReceiveBridge: Sendable {
    /// Serves a channel until its other ends are closed.
    ///
    /// - Returns: the updates that were allowed, in the hook's order; nil if there are none, for any
    ///   reason.
    func serve(_ channel: consuming OwnedDescriptor) -> [RefUpdate]?
}

/// Serves the bridge on a thread of its own while receive-pack runs.
struct BridgeRun: ~Copyable {
    private let hook: OwnedDescriptor
    private let thread: Thread
    private let result: Result

    private final class Result: Sendable {
        let allowed = Mutex<[RefUpdate]?>(nil)
    }

    /// The hook's end, which only the child gets.
    var hookEnd: Int32 { hook.raw }

    init(_ bridge: any PreReceiveBridge) throws {
        let result = Result()
        let ends = try OwnedDescriptor.socketPair()
        let (ours, theirs) = ends.release()
        let theirEnd = OwnedDescriptor(taking: theirs)
        let thread = try Self.serve(bridge, on: ours, into: result)
        hook = theirEnd
        self.thread = thread
        self.result = result
    }

    private static func serve(
        _ bridge: any PreReceiveBridge, on channel: Int32, into result: Result
    ) throws -> Thread {
        do {
            return try Thread {
                let allowed = bridge.serve(OwnedDescriptor(taking: channel))
                result.allowed.withLock { $0 = allowed }
            }
        } catch {
            close(channel)
            throw error
        }
    }

    /// Ends the bridge, after git has ended.
    ///
    /// - Returns: the updates that were allowed; nil if there are none.
    consuming func finish() -> [RefUpdate]? {
        let result = result
        Self.end(hook, thread)
        return result.allowed.withLock { $0 }
    }

    private static func end(_ hook: consuming OwnedDescriptor, _ thread: consuming Thread) {
        _ = consume hook
        thread.join()
    }
}
