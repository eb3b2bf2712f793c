/** Apart from the other modules: node:zlib takes a megabyte of memory, and few logs are compressed. */
import { constants, createGunzip, type Gunzip } from "node:zlib";

/** Decompresses what is written to it, as far as a file that is cut off goes. */
export const openGunzip = (): Gunzip => createGunzip({ finishFlush: constants.Z_SYNC_FLUSH });
