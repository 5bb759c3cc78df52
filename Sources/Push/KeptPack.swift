import Git
import GitProtocol
import Posix

extension ReceivedPush {
    /// The pack that receive-pack kept, with its index.
    typealias KeptPack = VerifiedPack

    /// The pack that the push must have left behind in the workspace, verified.
    ///
    /// The number of objects that git was given decides whether one must exist: git keeps a pack with
    /// objects as soon as a ref changes, completes it if it is thin, and never keeps an empty one.
    ///
    /// - Parameters:
    ///   - streamed: the body that git was given. A push that only deletes brings no pack, and git
    ///     does not read anything after its commands.
    ///   - hydrated: the names in the pack directory before git ran.
    /// - Returns: nil if the push contained no objects.
    /// - Throws: ``PushError`` for anything else.
    static func keptPack(
        of commands: PushCommands, streamed: StreamedPack, in workspace: borrowing Workspace,
        besides hydrated: Set<String>, format: ObjectFormat
    ) throws -> KeptPack? {
        let announced = try announcedObjects(of: commands, streamed)
        let added = try addedPacks(in: workspace, besides: hydrated)
        guard announced > 0 else {
            guard let name = added.first else { return nil }
            throw PushError.unproven("no objects were sent, but git kept '\(name)'")
        }
        guard let name = added.first, added.count == 1 else {
            throw PushError.unproven(
                "\(announced) objects were sent, but git kept \(added.count) packs")
        }
        let base = "\(workspace.packDirectory)/\(name.dropLast(5))"
        let pack: KeptPack
        do {
            pack = try VerifiedPack(base + ".pack", index: base + ".idx", format: format)
        } catch {
            switch error {
            case .unreadable(let error): throw error
            case .wrong(let reason): throw PushError.unproven(reason)
            }
        }
        // git names a pack by its hash, as it was when git had verified it.
        guard name == "pack-\(pack.trailer).pack" else {
            throw PushError.unproven("'\(name)' is a different pack, with the hash \(pack.trailer)")
        }
        guard pack.objects >= announced else {
            throw PushError.unproven("\(announced) objects were sent, but git kept \(pack.objects)")
        }
        return pack
    }

    private static func announcedObjects(
        of commands: PushCommands, _ streamed: StreamedPack
    ) throws -> Int {
        guard commands.bringsPack else { return 0 }
        guard let header = streamed.header else { throw PushError.unproven("no pack was sent") }
        return header.objects
    }

    /// The packs that were added. Other new objects would not be stored, and are refused.
    private static func addedPacks(
        in workspace: borrowing Workspace, besides hydrated: Set<String>
    ) throws -> [String] {
        let objects = workspace.path + "/objects"
        let directory = workspace.packDirectory
        let (top, names) = (try Files.names(in: objects), try Files.names(in: directory))
        if let loose = top.first(where: { $0 != "pack" && $0 != "info" }) {
            throw PushError.unproven("loose objects in '\(loose)'")
        }
        return names.filter { !hydrated.contains($0) && $0.hasSuffix(".pack") }
    }
}
