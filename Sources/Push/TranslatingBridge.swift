import Bridge
import GitProtocol
import Posix
import Synchronization

/// Replaces the updates that git received by those that the push requested, between the hook and a
/// bridge.
struct TranslatingBridge: PreReceiveBridge {
    let bridge: any PreReceiveBridge
    /// The line that git passes to the hook → the line that the bridge gets.
    let lines: [[UInt8]: [UInt8]]

    func serve(_ channel: consuming OwnedDescriptor) -> [RefUpdate]? {
        let hook = BridgeChannel(channel)
        // A failure is never a permission.
        guard let question = try? hook.receive(), question.kind == .question,
            let ends = try? OwnedDescriptor.socketPair()
        else { return nil }
        let (near, far) = ends.release()
        let asking = BridgeChannel(OwnedDescriptor(taking: near))
        let answer = Answer()
        guard
            let thread = try? Thread({ [bridge] in
                let allowed = bridge.serve(OwnedDescriptor(taking: far))
                answer.allowed.withLock { $0 = allowed }
            })
        else {
            _ = OwnedDescriptor(taking: far)
            return nil
        }
        let isRelayed = relay(question, to: asking, from: hook)
        Self.end(asking, thread)
        return isRelayed ? answer.allowed.withLock { $0 } : nil
    }

    private final class Answer: Sendable {
        let allowed = Mutex<[RefUpdate]?>(nil)
    }

    /// Relays the question to the bridge, and its answer to the hook.
    private func relay(
        _ question: BridgeChannel.Word, to asking: borrowing BridgeChannel,
        from hook: borrowing BridgeChannel
    ) -> Bool {
        do {
            try asking.send(BridgeChannel.Word(.question, translated(question.bytes)))
            guard let word = try asking.receive() else { return false }
            try hook.send(word)
            // The bridge is served until the hook has ended.
            _ = try hook.receive()
            return true
        } catch {
            return false
        }
    }

    private func translated(_ question: [UInt8]) -> [UInt8] {
        question.split(separator: UInt8(ascii: "\n")).flatMap { line in
            (lines[Array(line)] ?? Array(line)) + [UInt8(ascii: "\n")]
        }
    }

    private static func end(_ asking: consuming BridgeChannel, _ thread: consuming Thread) {
        _ = consume asking
        thread.join()
    }
}
